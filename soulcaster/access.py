"""Roles of people and tokens of programs: giving, taking away, and telling who stands before a door."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import duckdb

from soulcaster.actors import ROLES, Actor, Role, require
from soulcaster.db import access as store
from soulcaster.db import read, write
from soulcaster.db.access import Person, Token
from soulcaster.errors import PermanentError, TransientError
from soulcaster.settings import Settings

T = TypeVar("T")
logger = logging.getLogger(__name__)

_SUBJECT = re.compile(r"(sub:)?[^\s\x00-\x1f\x7f]{1,200}")
_TOKEN = re.compile(r"sc_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_SECRET_BYTES = 32
_MOST_NAME_CHARS = 60
_MOST_DAYS = 3650
_USED_EVERY = timedelta(hours=1)
"""How exact the time of the last use is: a write for every request would make readers wait for one another."""

_NOTE_SECONDS = 1.0


def add_person(settings: Settings, project_id: str, subject: str, role: str, *, actor: str) -> Person:
    """Give somebody a role in the project, in place of any other.

    Args:
        settings: where the store is.
        project_id: in which project.
        subject: verified e-mail address, or `sub:` and the id that the sign-in shows.
        role: one of `ROLES`.
        actor: who says so; an admin.

    Raises:
        PermanentError: no such role, the subject is no name, or the actor is no admin.
    """
    wanted = _subject(subject)
    require(actor, project_id, "configure", f"Giving {wanted!r} a role")
    given, now = _role(role), datetime.now(UTC)
    _write(settings, lambda con: store.save_person(con, project_id, wanted, given, actor=actor, now=now))
    return Person(wanted, given, now, str(actor))


def remove_person(settings: Settings, project_id: str, subject: str, *, actor: str) -> None:
    """Take somebody's role away; it counts from their next click on.

    Raises:
        PermanentError: they have none, or the actor is no admin.
    """
    wanted = _subject(subject)
    require(actor, project_id, "configure", f"Removing {wanted!r}")
    now = datetime.now(UTC)
    _write(settings, lambda con: store.remove_person(con, project_id, wanted, actor=actor, now=now))


def list_people(settings: Settings, project_id: str) -> list[Person]:
    """Everybody with a role in the project, by name."""
    return _read(settings, lambda con: store.list_people(con, project_id))


def add_token(
    settings: Settings, project_id: str, name: str, role: str, *, actor: str, days: int = 90
) -> tuple[Token, str]:
    """A new token, and its text, which is shown this once and stored nowhere.

    Args:
        settings: where the store is.
        project_id: the one project it opens.
        name: what it is for; its name in the activity log.
        role: one of `ROLES`.
        actor: who makes it; an admin.
        days: how long it is good for, 1 to 3,650.

    Raises:
        PermanentError: name, role or days are refused, or the actor is no admin.
    """
    wanted = " ".join(name.split())
    require(actor, project_id, "configure", f"Making a token for {wanted!r}")
    if not 1 <= len(wanted) <= _MOST_NAME_CHARS or not wanted.isprintable():
        raise PermanentError(
            f"Making a token expected a name of 1 to {_MOST_NAME_CHARS} printable characters, got {len(wanted)}."
        )
    if not 1 <= days <= _MOST_DAYS:
        raise PermanentError(f"Making a token for {wanted!r} expected 1 to {_MOST_DAYS} days, got {days}.")
    token_id, now = secrets.token_hex(6), datetime.now(UTC)
    text = f"sc_{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    token = Token(
        token_id, project_id, wanted, _role(role), now, str(actor), now + timedelta(days=days), None, None
    )  # fmt: skip
    _write(settings, lambda con: store.add_token(con, token, _digest(text)))
    return token, text


def list_tokens(settings: Settings, project_id: str) -> list[Token]:
    """The project's tokens, newest first, also those that are over."""
    return _read(settings, lambda con: store.list_tokens(con, project_id))


def revoke_token(settings: Settings, project_id: str, prefix: str, *, actor: str) -> Token:
    """End a token; it opens nothing from the next request on.

    Raises:
        PermanentError: none or several have an id that begins so, it is revoked, or the actor is no admin.
    """
    require(actor, project_id, "configure", f"Revoking token {prefix!r}")
    return _write(settings, lambda con: store.revoke_token(con, project_id, prefix, actor=actor, now=datetime.now(UTC)))


def find_actor(settings: Settings, project_id: str, subject: str) -> Actor | None:
    """The signed-in person with their role in the project; None when they have none there."""
    role = _read(settings, lambda con: store.find_role(con, project_id, _subject(subject)))
    return None if role is None else Actor(_subject(subject), role=role, project_id=project_id, how="sign-in")


def authenticate(settings: Settings, text: str) -> Actor:
    """Who holds this token, as `<name> (token <id>)` with the token's role and project.

    Raises:
        PermanentError: it is no token of ours, or it is revoked or over; says nothing of how it differs.
    """
    shape = _TOKEN.fullmatch(text)
    found = _read(settings, lambda con: store.find_token(con, shape[1])) if shape else None
    if found is None or not hmac.compare_digest(_digest(text), found[1]):
        raise PermanentError(
            "Signing in expected `Authorization: Bearer` and a token made with `soulcaster token add`, got another."
        )
    token, now = found[0], datetime.now(UTC)
    if token.revoked_at or token.expires_at <= now:
        over = "was revoked" if token.revoked_at else "is over"
        raise PermanentError(f"Token {token.token_id!r} {over}; an admin makes a new one with `soulcaster token add`.")
    if token.used_at is None or now - token.used_at > _USED_EVERY:
        _note_use(settings, token.token_id, now)
    return Actor(f"{token.name} (token {token.token_id})", role=token.role, project_id=token.project_id, how="token")


def _note_use(settings: Settings, token_id: str, now: datetime) -> None:
    try:
        write(settings.duckdb_path, lambda con: store.note_use(con, token_id, now), timeout_seconds=_NOTE_SECONDS)
    except TransientError as error:
        logger.info("The use of token %s is noted at its next one: %s", token_id, error)


def _digest(text: str) -> str:
    """SHA-256 in hex. The token is 256 random bits, so a slow hash would protect nothing more."""
    return hashlib.sha256(text.encode()).hexdigest()


def _subject(subject: str) -> str:
    """E-mail addresses in lower case; the id of a provider is kept as it is."""
    wanted = subject.strip()
    if not _SUBJECT.fullmatch(wanted):
        raise PermanentError(
            f"Person {subject[:60]!r} was refused: expected an e-mail address, or the id that the sign-in shows."
        )
    return wanted if wanted.startswith("sub:") else wanted.lower()


def _role(role: str) -> Role:
    for known in ROLES:
        if known == role:
            return known
    raise PermanentError(f"Role {role!r} was refused: expected one of {', '.join(ROLES)}.")


def _read(settings: Settings, fn: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    return read(settings.duckdb_path, fn, timeout_seconds=settings.lock_timeout_seconds)


def _write(settings: Settings, fn: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    return write(settings.duckdb_path, fn, timeout_seconds=settings.lock_timeout_seconds)
