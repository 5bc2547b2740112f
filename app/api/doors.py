"""Who calls the API: the token's holder with the role it has in its project, and how often they may."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from soulcaster import access
from soulcaster.actors import NEEDED, Action, Actor, is_allowed
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings

_MOST_CALLERS = 10_000
_FAILURES_PER_MINUTE = 30

bearer = HTTPBearer(auto_error=False, description="A project token: `soulcaster token add NAME --role viewer`.")


class Throttle:
    """A bucket of requests for each caller, refilled evenly; a caller may spend a minute's worth at once."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, caller: str, *, per_minute: int | None = None) -> float:
        """Seconds until the caller may ask again; 0.0 when this request is within the bounds."""
        most = float(per_minute or self.per_minute)
        now = time.monotonic()
        left, at = self._left.get(caller, (most, now))
        left = min(most, left + (now - at) * most / 60)
        if left < 1:
            self._left[caller] = (left, now)
            return (1 - left) * 60 / most
        if len(self._left) >= _MOST_CALLERS:
            self._left.clear()
        self._left[caller] = (left - 1, now)
        return 0.0


def settings_of(request: Request) -> Settings:
    """The settings that the API was made with."""
    found: Settings = request.app.state.settings
    return found


def caller(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)] = None) -> Actor:
    """Who holds the token.

    Raises:
        HTTPException: 401 without a valid token, 429 when they ask too often.
    """
    throttle: Throttle = request.app.state.throttle
    try:
        actor = access.authenticate(settings_of(request), given.credentials if given else "")
    except PermanentError as error:
        host = request.client.host if request.client else "unknown"
        _bounded(throttle.take(f"failed {host}", per_minute=_FAILURES_PER_MINUTE))
        raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from None
    _bounded(throttle.take(actor))
    return actor


def _bounded(wait_seconds: float) -> None:
    if wait_seconds:
        seconds = str(int(wait_seconds) + 1)
        raise HTTPException(429, f"Too many requests; ask again in {seconds} s.", {"Retry-After": seconds})


def check_role(actor: Actor, action: Action) -> None:
    """Pass when the token's role is enough; the steps check again.

    Raises:
        HTTPException: 403.
    """
    if not is_allowed(actor, actor.project_id, action):
        raise HTTPException(403, f"This needs a token with the role {NEEDED[action]}, got one with {actor.role}.")


Caller = Annotated[Actor, Depends(caller)]
Conf = Annotated[Settings, Depends(settings_of)]
