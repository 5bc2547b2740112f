"""The one way to Gemini: client, pacing, and its errors in our two kinds. The key never appears in an error."""

from __future__ import annotations

import atexit
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from soulcaster.errors import PermanentError, SoulcasterError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from google import genai
    from pydantic import SecretStr

Answer = TypeVar("Answer")

_RETRIED_STATUS = [408, 429, 500, 502, 503, 504]


class Pace:
    """Spreads calls evenly: holds the earliest time of the next one. Safe to share between threads."""

    def __init__(self, per_minute: int) -> None:
        self._seconds_between = 60.0 / per_minute
        self._next_at = 0.0  # time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next call may be made."""
        with self._lock:
            wait_seconds = self._next_at - time.monotonic()
            if wait_seconds > 0:
                time.sleep(wait_seconds)
            self._next_at = time.monotonic() + self._seconds_between


def find_key(secret: SecretStr | None) -> str:
    """The key without what surrounds it; '' when there is none, or only blanks."""
    return secret.get_secret_value().strip() if secret else ""


def make_client(
    api_key: str,
    base_url: str | None,
    *,
    timeout_seconds: float = 60.0,
    attempts: int = 4,
    first_delay_seconds: float = 1.0,
) -> genai.Client:
    """A client that tries each call `attempts` times, waiting first `first_delay_seconds` and then twice as long."""
    from google import genai
    from google.genai import types

    return genai.Client(
        api_key=api_key,
        vertexai=False,
        http_options=types.HttpOptions(
            base_url=base_url,
            api_version="v1beta",  # without it the SDK calls /v1, which lacks features
            timeout=int(timeout_seconds * 1000),
            # Our own client settles which HTTP library raises; the SDK would take whichever is installed.
            httpx_client=_http_client(timeout_seconds),
            # The SDK never retries unless told to. It ignores Retry-After: `Pace` is what keeps the ceiling.
            retry_options=types.HttpRetryOptions(
                attempts=attempts,
                initial_delay=first_delay_seconds,
                max_delay=30.0,
                exp_base=2.0,
                jitter=first_delay_seconds,
                http_status_codes=_RETRIED_STATUS,
            ),
        ),
    )


@cache
def _http_client(timeout_seconds: float) -> httpx.Client:
    """One for the process: the SDK closes no client but its own, and its sockets would be left to the collector."""
    import httpx

    client = httpx.Client(timeout=timeout_seconds)
    atexit.register(client.close)
    return client


def call(what: str, api_key: str, ask: Callable[[], Answer]) -> Answer:
    """What `ask` returns; `what` opens the sentence of an error, as in "Embedding 3 texts with 'm'".

    Raises:
        TransientError: 408, 429, 5xx, time-out, no connection, or an answer that is no JSON.
        PermanentError: the key or the request was refused.
    """
    import httpx
    from google.genai import errors

    try:
        return ask()
    except errors.APIError as error:
        raise _translate(error, what, api_key) from None  # the original could quote the key
    except httpx.TransportError as error:
        raise TransientError(
            f"{what} got no answer: {type(error).__name__}; check the connection and run the same command again."
        ) from None
    except ValueError:
        raise TransientError(
            f"{what} was answered with something that is not the API's JSON; check SOULCASTER_GEMINI_BASE_URL and "
            "proxies, then run the same command again."
        ) from None


def _translate(error: Exception, what: str, api_key: str) -> SoulcasterError:
    code = int(getattr(error, "code", 0) or 0)
    reason = str(getattr(error, "message", None) or "no reason given").replace(api_key, "[key]")
    sentence = f"{what} answered {code}, expected 200"
    if code in _RETRIED_STATUS or code >= 500:  # noqa: PLR2004 -- the border of HTTP's server errors
        return TransientError(
            f"{sentence}; wait and run the same command again, or lower SOULCASTER_GEMINI_REQUESTS_PER_MINUTE."
        )
    hint = "check SOULCASTER_GEMINI_API_KEY" if code in (400, 401, 403) else "check the name of the model"
    return PermanentError(f"{sentence} ({' '.join(reason.split())[:200]}); {hint}.")
