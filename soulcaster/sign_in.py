"""What Streamlit needs to sign people in: a secrets file of its own, made from our settings each time we start."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from soulcaster.errors import PermanentError
from soulcaster.settings import Settings

_COOKIE_BYTES = 32


def prepare(settings: Settings) -> list[str]:
    """Words to add to `streamlit run`; none without sign-in. Writes files that only this user can read.

    The key that signs cookies is kept, so that a restart signs nobody out; deleting `<home>/sign-in` signs everybody
    out.

    Raises:
        PermanentError: the folder cannot be written.
    """
    if not settings.has_sign_in or settings.oidc_client_secret is None:
        return []
    folder = settings.home / "sign-in"
    address = settings.app_url.rstrip("/") or f"http://localhost:{settings.app_port}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        values = {
            "redirect_uri": f"{address}/oauth2callback",
            "cookie_secret": _kept_secret(folder / "cookie-secret"),
            "client_id": settings.oidc_client_id,
            "client_secret": settings.oidc_client_secret.get_secret_value(),
            "server_metadata_url": settings.oidc_metadata_url,
        }
        # A JSON string is a TOML basic string, except that TOML wants control characters escaped: json does so.
        lines = ["[auth]", *(f"{name} = {json.dumps(value)}" for name, value in values.items()), ""]
        path = folder / "secrets.toml"
        _write(path, "\n".join(lines))
    except OSError as error:
        raise PermanentError(f"Writing the sign-in of {str(folder)!r} failed: {error.strerror}; check it.") from error
    return ["--secrets.files", str(path.resolve())]


def _kept_secret(path: Path) -> str:
    if not path.is_file():
        _write(path, secrets.token_hex(_COOKIE_BYTES))
    return path.read_text().strip()


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
