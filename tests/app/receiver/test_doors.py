"""The receiver's doors in process: bounds, ids, mapped services, work that is started, and its own description."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from fastapi.testclient import TestClient
from httpx import Response
from hypothesis import HealthCheck, Phase
from pydantic import SecretStr
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.receiver.bounds import MOST_DEPTH, MOST_HEADERS, is_too_deep
from app.webhook import make_app
from soulcaster.settings import Settings
from soulcaster.sources import inbox

TOKEN = {"Authorization": "Bearer manual-token"}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a token and the secrets of two services over an empty home; Prefect is away."""
    for name in list(os.environ):
        if name.startswith(("PREFECT_", "SOULCASTER_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("SPLUNK_WEBHOOK_TOKEN", "splunk-token")
    monkeypatch.setenv("ZENDESK_WEBHOOK_SECRET", "zendesk-secret")
    monkeypatch.delenv("DATADOG_WEBHOOK_TOKEN", raising=False)
    return Settings(
        _env_file=None,
        home=tmp_path / "home",
        receiver_token=SecretStr("manual-token"),
        sentry_client_secret=SecretStr("sentry-secret"),
        github_webhook_secret=SecretStr("github-secret"),
        receiver_max_bytes=10_000,
    )


@pytest.fixture
def client(home: Settings) -> Iterator[TestClient]:
    """The receiver in this process."""
    with TestClient(make_app(home), raise_server_exceptions=False) as made:
        yield made


def assert_problem(answer: Response, status: int, *words: str) -> None:
    """The answer is problem+json with this status and these words."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    for word in words:
        assert word in answer.json()["detail"]


def zendesk_headers(body: bytes, at: float) -> dict[str, str]:
    """What Zendesk would send with this body."""
    shown = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    digest = hmac.new(b"zendesk-secret", shown.encode() + body, hashlib.sha256).digest()
    return {
        "X-Zendesk-Webhook-Signature": base64.b64encode(digest).decode(),
        "X-Zendesk-Webhook-Signature-Timestamp": shown,
        "X-Zendesk-Webhook-Invocation-Id": "0193",
    }


def test_signed_post_of_a_mapped_service_is_kept_once_under_its_name(client: TestClient, home: Settings):
    """The mapping's signature rule lets it in; the same delivery again adds nothing."""
    body = b'{"detail": {"id": "1", "subject": "Slow"}}'
    for _ in range(2):
        answer = client.post("/ingest/generic/zendesk", content=body, headers=zendesk_headers(body, time.time()))
        assert answer.status_code == 202
    [path] = inbox.list_pending(home.inbox_path)
    kept = inbox.read_delivery(path)
    assert (kept.source, kept.delivery_id, kept.body) == ("zendesk", "0193", body)


def test_wrong_old_missing_and_borrowed_proofs_of_a_mapped_service_are_refused(client: TestClient, home: Settings):
    """401 names the variable; nothing is written."""
    body = b"{}"
    good = zendesk_headers(body, time.time())
    url = "/ingest/generic/zendesk"
    for headers, content in [
        ({}, body), (TOKEN, body), (good, b"{} "), (zendesk_headers(body, time.time() - 7200), body),
        (good | {"X-Zendesk-Webhook-Signature": "AAAA"}, body),
    ]:  # fmt: skip
        assert_problem(client.post(url, content=content, headers=headers), 401, "ZENDESK_WEBHOOK_SECRET")
    assert_problem(client.post("/ingest/generic/splunk?token=no", content=body), 401, "query parameter 'token'")
    assert client.post("/ingest/generic/splunk?token=splunk-token", content=body).status_code == 202
    assert len(inbox.list_pending(home.inbox_path)) == 1


def test_service_without_mapping_hook_or_secret_is_told_what_to_do(client: TestClient, home: Settings):
    """404 for no mapping or no hook, 503 for an unset secret or a broken file."""
    home.mappings_path.mkdir(parents=True)
    (home.mappings_path / "broken.yaml").write_text("title: [")
    for name, status, word in [
        ("nothing", 404, "soulcaster source mappings"), ("..%2Fzendesk", 404, "There is no source"),
        ("google-play", 404, "takes no posts"), ("datadog", 503, "DATADOG_WEBHOOK_TOKEN"),
        ("broken", 503, "expected YAML"),
    ]:  # fmt: skip
        assert_problem(client.post(f"/ingest/generic/{name}", content=b"{}"), status, word)


def test_every_answer_has_the_requests_id(client: TestClient):
    """The sender's own when it is one, else a new one; on errors and on the API too."""
    assert client.get("/health", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    made = client.get("/health", headers={"X-Request-Id": "a b<c>"}).headers["x-request-id"]
    assert len(made) == 32
    assert client.get("/nothing", headers={"X-Request-Id": "abc-2"}).headers["x-request-id"] == "abc-2"
    assert client.get("/api/v1/clusters", headers={"X-Request-Id": "abc-3"}).headers["x-request-id"] == "abc-3"


def test_too_many_headers_and_too_deep_json_are_refused(client: TestClient):
    """431 and 422, each with its bound; brackets inside of strings do not count."""
    many = {f"X-{n}": "1" for n in range(MOST_HEADERS + 1)}
    assert_problem(client.post("/ingest/manual", content=b"{}", headers=TOKEN | many), 431, str(MOST_HEADERS))
    deep = b'{"a":' * (MOST_DEPTH + 1) + b"1" + b"}" * (MOST_DEPTH + 1)
    assert_problem(client.post("/ingest/manual", content=deep, headers=TOKEN), 422, str(MOST_DEPTH))
    flat = json.dumps({"text": '[{"\\' * 500}).encode()
    assert client.post("/ingest/manual", content=flat, headers=TOKEN).status_code == 202


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[]" * 5000, False), (b"[" * MOST_DEPTH + b"]" * MOST_DEPTH, False), (b"[" * (MOST_DEPTH + 1), True),
        (b'"' + b"[" * 5000 + b'"', False), (b'"' + b"[" * 5000, False), (b'"\\"' + b"[" * 500 + b'"', False),
        (b'{"a":"\\\\",' + b'"b":[' * 500, True), (b"", False), (b"\xff" * 10, False),
    ],
)  # fmt: skip
def test_depth_is_counted_outside_of_strings_only(body: bytes, expected: bool):
    """Escaped quotes and open strings included; text that is no JSON has no depth."""
    assert is_too_deep(body) is expected


def test_errors_of_every_kind_are_problems(home: Settings):
    """404, 405 with what is allowed, and an error that nobody expected."""
    made = make_app(home)

    def fail() -> None:
        raise RuntimeError("secret detail")

    made.add_api_route("/boom", fail)
    with TestClient(made, raise_server_exceptions=False) as client:
        assert_problem(client.get("/nothing"), 404)
        assert_problem(client.post("/ingest/twitter/x", content=b"{}"), 404, "/ingest/generic/NAME")
        wrong = client.get("/ingest/sentry")
        assert_problem(wrong, 405)
        assert wrong.headers["allow"] == "POST"
        failed = client.get("/boom")
        assert_problem(failed, 500)
        assert "secret detail" not in failed.text


@pytest.mark.parametrize("path", ["/admin/poll", "/ingest/github/sync/acme/notes"])
def test_work_is_started_only_with_the_token_and_only_while_prefect_answers(client: TestClient, path: str):
    """401 without the token; with it 503 that says what to do while Prefect is away."""
    assert_problem(client.post(path), 401, "SOULCASTER_RECEIVER_TOKEN")
    assert_problem(client.post(path, headers={"Authorization": "Bearer no"}), 401)
    assert_problem(client.post(path, headers=TOKEN), 503, "soulcaster up")
    assert_problem(client.post(path + "?project=", headers=TOKEN), 422, "project")


def test_sync_of_what_is_no_repository_is_refused(client: TestClient):
    """The name is looked at before Prefect is asked."""
    assert_problem(client.post("/ingest/github/sync/acme/no%20tes", headers=TOKEN), 422, "owner/repository")


def test_description_names_every_door_and_its_proof(client: TestClient):
    """What is answered is described: paths, proofs, errors as problem+json."""
    described = client.get("/openapi.json").json()
    doors = {f"/ingest/{source}" for source in ("sentry", "github", "reddit", "manual")}
    assert doors | {"/ingest/generic/{name}", "/ingest/github/sync/{owner}/{repo}", "/admin/poll", "/health"} == set(
        described["paths"]
    )
    sentry = described["paths"]["/ingest/sentry"]["post"]
    assert {each["name"] for each in sentry["parameters"]} == {"sentry-hook-signature", "project"}
    assert {"202", "400", "401", "413", "422", "431", "503"} <= set(sentry["responses"])
    assert "application/problem+json" in sentry["responses"]["413"]["content"]


def test_description_is_a_page_that_needs_nothing_from_elsewhere(client: TestClient):
    """Every door of the description with its parameters and answers; no script, no style, no other host."""
    page = client.get("/docs")
    described = client.get("/openapi.json").json()

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            _, _, part = page.text.partition(f"<h2>{method.upper()} {path}</h2>")
            part = part.partition("<h2>")[0]
            for shown in [*operation["responses"], *(each["name"] for each in operation.get("parameters", []))]:
                assert f"<td>{shown}</td>" in part, (path, shown)
    assert not any(mark in page.text for mark in ("<script", "<link", "<style", "src=", "http://", "https://"))


def fuzz(operation: Any, mode: GenerationMode, checks: list[Any], seen: set[int]) -> None:
    """A few requests made from the operation's description, each looked at by the checks."""

    @hypothesis.settings(
        max_examples=5, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        answer = case.call(headers=TOKEN)
        seen.add(answer.status_code)
        case.validate_response(answer, checks=checks)

    ask()


def test_every_operation_answers_what_its_description_says(home: Settings):
    """Whatever comes: a described status, type and shape. 503 is the answer while Prefect is away, and only there."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", make_app(home))
    seen: set[int] = set()
    for operation in [found.ok() for found in schema.get_all_operations()]:
        if "sync" in operation.path or "admin" in operation.path:
            for mode in GenerationMode:
                fuzz(operation, mode, CHECKS[1:], seen)
        else:  # these take any body, so there is none that would be wrong
            fuzz(operation, GenerationMode.POSITIVE, CHECKS, seen)
    assert {200, 202, 401, 404, 422, 503} <= seen
