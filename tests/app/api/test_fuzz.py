"""What nobody meant to send: requests made from the API's own description, none of which may surprise it."""

from __future__ import annotations

import itertools

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.api import make_api
from soulcaster.settings import Settings

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
_FEWEST_OPERATIONS = 16


def test_every_operation_answers_what_its_description_says(home: Settings, tokens: dict[str, str]):
    """Whatever comes, the answer is a described one: its status, type and shape; never a server's error."""
    api = make_api(home.model_copy(update={"api_requests_per_minute": 100_000}))
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", api)
    operations = [found.ok() for found in schema.get_all_operations()]
    seen: set[int] = set()

    for operation, mode in itertools.product(operations, GenerationMode):

        @hypothesis.settings(
            max_examples=5, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            answer = case.call(headers={"Authorization": f"Bearer {tokens['admin']}", "If-Match": "*"})
            seen.add(answer.status_code)
            case.validate_response(answer, checks=CHECKS)

        ask()

    assert len(operations) >= _FEWEST_OPERATIONS
    assert {200, 404, 422} <= seen
