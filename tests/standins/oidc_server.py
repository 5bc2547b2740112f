"""A stand-in of an OpenID Connect provider on loopback: signs in whoever the test says, at once, without a page."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from standins.wire_server import Answer, Request, Wire, running

CLIENT_ID, CLIENT_SECRET = "soulcaster-app", "app-secret"


@dataclass
class OidcServer(Wire):
    """`claims` is who stands before the provider: the next sign-in is theirs."""

    claims: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256"}))
    waiting: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def metadata_url(self) -> str:
        """Where clients find everything else."""
        return f"{self.url}/.well-known/openid-configuration"

    def answer(self, request: Request) -> Answer:
        """One answer of the provider. Source: OpenID Connect Core 1.0, the authorization code flow."""
        if request.path == "/.well-known/openid-configuration":
            return Answer(
                payload={
                    "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/jwks",
                    "response_types_supported": ["code"], "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            )  # fmt: skip
        if request.path == "/jwks":
            return Answer(payload={"keys": [self.key.as_dict(private=False)]})
        if request.path == "/authorize":
            return self._authorize(request)
        return self._token(request) if request.path == "/token" else Answer(404, {"error": "not found"})

    def _authorize(self, request: Request) -> Answer:
        if request.first("client_id") != CLIENT_ID or request.first("response_type") != "code":
            return Answer(400, {"error": "invalid_request"})
        code = secrets.token_urlsafe(16)
        now = int(time.time())
        self.waiting[code] = {
            "iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 600, "nonce": request.first("nonce"),
            **self.claims,
        }  # fmt: skip
        back = request.first("redirect_uri") + "?" + urlencode({"code": code, "state": request.first("state")})
        return Answer(302, {}, {"Location": back})

    def _token(self, request: Request) -> Answer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        claims = self.waiting.pop(form.get("code", ""), None)
        if claims is None or "authorization" not in request.headers:
            return Answer(400, {"error": "invalid_grant"})
        id_token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)
        return Answer(
            payload={"access_token": "opaque", "token_type": "Bearer", "expires_in": 600, "id_token": id_token}
        )


@contextmanager
def oidc_server() -> Iterator[OidcServer]:
    """The started provider; stopped at the end of the block."""
    server = OidcServer()
    with running(server.answer, server):
        yield server
