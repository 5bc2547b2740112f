"""Who may do what at the forge: tokens, and how a GitHub App gets one."""

from __future__ import annotations

import base64
import json
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt
from standins.forge_shown import refuse
from standins.wire_server import Answer, Request

if TYPE_CHECKING:
    from standins.forge import Forge, Token

REPOSITORY = r"/repos/(?P<name>[^/]+/[^/]+)"


def sees(token: Token, name: str) -> bool:
    """Whether the token is for this repository."""
    return token.repositories is None or name in token.repositories


def may(token: Token, needed: str, level: str) -> bool:
    """Whether the token has one of the permissions at the level."""
    has = [token.permissions.get(one) for one in needed.split("|")]
    return "write" in has or (level == "read" and "read" in has)


def find_token(forge: Forge, request: Request) -> Token | None:
    """The token a request carries, while it is valid."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        value = base64.b64decode(value).decode().partition(":")[2]
    token = forge.tokens.get(value)
    if token is None or (token.expires_at and token.expires_at < datetime.now(UTC)):
        return None
    return token


def sign_in_app(forge: Forge, request: Request) -> Answer | None:
    """What an App is told; None when the request is not about signing in."""
    wanted = re.fullmatch(REPOSITORY + "/installation", request.path)
    minting = re.fullmatch(r"/app/installations/(\d+)/access_tokens", request.path)
    if not (wanted or minting or request.path == "/app"):
        return None
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    try:
        claims = jwt.decode(bearer, forge.app_private_key.public_key(), algorithms=["RS256"], issuer=forge.app_id)
    except jwt.PyJWTError:
        return refuse(401, "A JSON web token could not be decoded")
    if claims["exp"] > datetime.now(UTC).timestamp() + 600:
        return refuse(401, "'Expiration time' claim ('exp') is too far in the future")
    if wanted:
        is_there = forge.installed is None or wanted["name"] in forge.installed
        found = {"id": 77, "app_id": int(forge.app_id), "app_slug": forge.app_slug, "permissions": _APP_PERMISSIONS}
        return Answer(payload=found) if is_there else refuse(404, "Not Found")
    if minting:
        return _mint(forge, json.loads(request.body or b"{}"))
    return Answer(payload={"id": int(forge.app_id), "slug": forge.app_slug, "name": "Soulcaster test"})


_APP_PERMISSIONS = {"contents": "write", "pull_requests": "write", "issues": "write", "metadata": "read"}


def _mint(forge: Forge, body: dict[str, Any]) -> Answer:
    from standins.forge import Token

    wanted = body.get("permissions") or dict(_APP_PERMISSIONS)
    over = [name for name, level in wanted.items() if _APP_PERMISSIONS.get(name) not in (level, "write")]
    if over:
        return refuse(422, "The permissions requested are not granted to this installation.")
    owner = forge.app_slug
    names = body.get("repositories")
    known = {f"{path.parent.name}/{path.name.removesuffix('.git')}" for path in forge.folder.glob("*/*.git")}
    chosen = None if names is None else {name for name in known if name.split("/")[1] in names}
    if chosen is not None and len(chosen) < len(names):
        return refuse(422, "There is at least one repository that does not exist or is not accessible")
    token = "ghs_" + secrets.token_hex(30)
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    forge.tokens[token] = Token(f"{owner}[bot]", dict(wanted), chosen, expires_at)
    shown = {"token": token, "expires_at": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}", "permissions": wanted}
    return Answer(201, shown)
