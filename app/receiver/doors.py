"""How each source proves that a body is its own. Nothing is taken in unchecked."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Annotated, NamedTuple

from fastapi import Query
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.requests import Request

from soulcaster.errors import PermanentError
from soulcaster.models import Source
from soulcaster.settings import Settings, read_secret, variable_of
from soulcaster.sources.generic import is_proven
from soulcaster.sources.mapping import Hook, find_mappings, load_mapping

Project = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=64,
        description="Project; the receiver's own when not given. Each other proves itself with variables of its own.",
    ),
]
_PROJECT = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class Door(NamedTuple):
    """How one source proves that a body is its own."""

    variable: str
    secret: SecretStr | None
    proof_header: str
    expected: Callable[[bytes, bytes], str]
    delivery_header: str


def hex_signature(secret: bytes, body: bytes) -> str:
    """HMAC-SHA256 of the raw body, in hex. Source: Sentry integration platform, 'Verifying the signature'."""
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def github_signature(secret: bytes, body: bytes) -> str:
    """The same with the algorithm in front. Source: GitHub, 'Validating webhook deliveries'."""
    return "sha256=" + hex_signature(secret, body)


def bearer(secret: bytes, _body: bytes) -> str:
    """A fixed token, for senders that cannot sign."""
    return "Bearer " + secret.decode()


def make_token_door(settings: Settings) -> Door:
    """The door of those who know the receiver's token."""
    return Door("SOULCASTER_RECEIVER_TOKEN", settings.receiver_token, "authorization", bearer, "idempotency-key")


def make_doors(settings: Settings) -> dict[Source, Door]:
    """What each source must show."""
    return {
        "sentry": Door(
            "SOULCASTER_SENTRY_CLIENT_SECRET",
            settings.sentry_client_secret,
            "sentry-hook-signature",
            hex_signature,
            "request-id",
        ),
        "github": Door(
            "SOULCASTER_GITHUB_WEBHOOK_SECRET",
            settings.github_webhook_secret,
            "x-hub-signature-256",
            github_signature,
            "x-github-delivery",
        ),
        "reddit": make_token_door(settings),
        "manual": make_token_door(settings),
    }


def find_variable(settings: Settings, variable: str, project: str) -> str:
    """Name of the variable that holds this secret of the project: the receiver's own has it as it is.

    Raises:
        HTTPException: 422 for a project whose name is in no variable's name, or would be in two.
    """
    if project == settings.project:
        return variable
    if not _PROJECT.fullmatch(project):
        raise HTTPException(
            422, f"Posts are taken for projects named with small letters, digits and hyphens, got {project!r}."
        )
    return variable_of(variable, project)


def find_door(settings: Settings, door: Door, project: str) -> Door:
    """The same door of a project: no project's secret opens that of another.

    Raises:
        HTTPException: as `find_variable`.
    """
    variable = find_variable(settings, door.variable, project)
    return door if variable == door.variable else door._replace(variable=variable, secret=_find_secret(variable))


def _find_secret(variable: str) -> SecretStr | None:
    try:
        return read_secret(variable)
    except PermanentError:
        return None


def get_secret(path: str, door: Door) -> bytes:
    """The secret that proves what comes through this door.

    Raises:
        HTTPException: 503 when none is set.
    """
    secret = door.secret.get_secret_value() if door.secret else ""
    if not secret:
        raise HTTPException(503, f"Posts to {path} cannot be checked: set {door.variable} and start again.")
    return secret.encode()


def check_proof(door: Door, secret: bytes, shown: str, body: bytes) -> None:
    """Pass only a body that its source signed, or whose sender knows the token; compared in constant time.

    Raises:
        HTTPException: 401 when the proof is missing or wrong.
    """
    expected = door.expected(secret, body).encode()
    if not hmac.compare_digest(shown.encode("latin-1"), expected):
        got = "one that does not match" if shown else "none"
        raise HTTPException(401, f"Expected proof in {door.proof_header!r} made with {door.variable}, got {got}.")


def get_hook(settings: Settings, name: str, project: str) -> tuple[Hook, bytes]:
    """How the service of this name posts for the project, and the secret that proves it.

    Raises:
        HTTPException: as `find_variable`; 404 when no mapping of this name takes posts, 503 when it is broken or its
            secret is not set.
    """
    if name not in {known for known, _ in find_mappings(settings.mappings_path)}:
        raise HTTPException(
            404, f"There is no mapping {name[:60]!r}; `soulcaster source mappings` lists those there are."
        )
    try:
        hook = load_mapping(settings.mappings_path, name).hook
        if hook is not None:
            variable = find_variable(settings, hook.proof.variable, project)
            proof = hook.proof.model_copy(update={"variable": variable})
            return hook.model_copy(update={"proof": proof}), read_secret(variable).get_secret_value().encode()
    except PermanentError as error:
        raise HTTPException(503, str(error)) from error
    raise HTTPException(404, f"The mapping {name!r} takes no posts: it has no 'hook'.")


def check_hook(hook: Hook, secret: bytes, request: Request, body: bytes) -> None:
    """Pass only a post that shows what its mapping asks for.

    Raises:
        HTTPException: 401 when the proof is missing, wrong or too old.
    """
    proof = hook.proof
    parameter = proof.parameter if proof.kind == "token" else None
    query = request.query_params.get(parameter, "") if parameter else ""
    if not is_proven(proof, secret, request.headers, query, body):
        place = f"header {proof.header!r}" if proof.header else f"query parameter {parameter!r}"
        raise HTTPException(
            401, f"Expected proof in {place} made with {proof.variable}, got none or one that does not match."
        )
