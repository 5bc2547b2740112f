"""People with their roles, and tokens of programs. Writing functions run inside `db.write`; each change is logged."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import duckdb

from soulcaster.actors import Role
from soulcaster.db.activity import add_activity
from soulcaster.errors import PermanentError

_TOKEN = "token_id, project_id, name, role, created_at, created_by, expires_at, used_at, revoked_at"  # noqa: S105  columns


class Person(NamedTuple):
    """Somebody with a role in a project."""

    subject: str
    role: Role
    added_at: datetime
    added_by: str


class Token(NamedTuple):
    """What is known of a token; the token itself is known to nobody but its holder."""

    token_id: str
    project_id: str
    name: str
    role: Role
    created_at: datetime
    created_by: str
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


def save_person(
    con: duckdb.DuckDBPyConnection, project_id: str, subject: str, role: Role, *, actor: str, now: datetime
) -> None:
    """Give a person this role in place of any other."""
    before = find_role(con, project_id, subject)
    con.execute("DELETE FROM people WHERE project_id = $1 AND subject = $2", [project_id, subject])
    con.execute("INSERT INTO people VALUES ($1, $2, $3, $4, $5)", [project_id, subject, role, now, str(actor)])
    detail = {"before": before, "role": role}
    add_activity(
        con, project_id, actor=actor, action="person", subject=subject, reason=f"is {role} now", detail=detail, at=now
    )


def remove_person(con: duckdb.DuckDBPyConnection, project_id: str, subject: str, *, actor: str, now: datetime) -> None:
    """Take a person's role away.

    Raises:
        PermanentError: they have none.
    """
    before = find_role(con, project_id, subject)
    if before is None:
        raise PermanentError(
            f"Removing {subject!r} from project {project_id!r}: expected somebody with a role, got nobody; "
            "see `soulcaster person list`."
        )
    con.execute("DELETE FROM people WHERE project_id = $1 AND subject = $2", [project_id, subject])
    detail = {"before": before, "role": None}
    add_activity(
        con, project_id, actor=actor, action="person", subject=subject, reason="has no role now", detail=detail, at=now
    )


def find_role(con: duckdb.DuckDBPyConnection, project_id: str, subject: str) -> Role | None:
    """The person's role in the project; None without one."""
    row = con.execute(
        "SELECT role FROM people WHERE project_id = $1 AND subject = $2", [project_id, subject]
    ).fetchone()
    return None if row is None else row[0]


def list_roles(con: duckdb.DuckDBPyConnection, subject: str) -> dict[str, Role]:
    """The person's role by project."""
    rows = con.execute("SELECT project_id, role FROM people WHERE subject = $1 ORDER BY 1", [subject]).fetchall()
    return dict(rows)


def list_people(con: duckdb.DuckDBPyConnection, project_id: str) -> list[Person]:
    """Everybody with a role in the project, by name."""
    rows = con.execute(
        "SELECT subject, role, added_at, added_by FROM people WHERE project_id = $1 ORDER BY subject", [project_id]
    ).fetchall()
    return [Person(*row) for row in rows]


def add_token(con: duckdb.DuckDBPyConnection, token: Token, secret_sha256: str) -> None:
    """Store a new token's hash."""
    con.execute(
        "INSERT INTO access_tokens (token_id, project_id, name, role, secret_sha256, created_at, created_by, "
        "expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            token.token_id, token.project_id, token.name, token.role, secret_sha256, token.created_at,
            token.created_by, token.expires_at,
        ],
    )  # fmt: skip
    add_activity(
        con, token.project_id, actor=token.created_by, action="token", subject=token.token_id,
        reason=f"made for {token.name}", detail={"role": token.role, "expires_at": token.expires_at.isoformat()},
        at=token.created_at,
    )  # fmt: skip


def find_token(con: duckdb.DuckDBPyConnection, token_id: str) -> tuple[Token, str] | None:
    """A token with the SHA-256 of its text in hex, whatever its state; None when there is no such token."""
    row = con.execute(
        f"SELECT {_TOKEN}, secret_sha256 FROM access_tokens WHERE token_id = $1",  # noqa: S608  names of columns
        [token_id],
    ).fetchone()
    return None if row is None else (Token(*row[:-1]), row[-1])


def list_tokens(con: duckdb.DuckDBPyConnection, project_id: str) -> list[Token]:
    """The project's tokens, newest first, also those that are over."""
    rows = con.execute(
        f"SELECT {_TOKEN} FROM access_tokens WHERE project_id = $1 ORDER BY created_at DESC, token_id",  # noqa: S608  names of columns
        [project_id],
    ).fetchall()
    return [Token(*row) for row in rows]


def revoke_token(con: duckdb.DuckDBPyConnection, project_id: str, prefix: str, *, actor: str, now: datetime) -> Token:
    """End the one valid token whose id begins so.

    Raises:
        PermanentError: none or several do, or it was revoked before.
    """
    found = [each for each in list_tokens(con, project_id) if each.token_id.startswith(prefix) and not each.revoked_at]
    if len(found) != 1 or not prefix:
        raise PermanentError(
            f"Revoking token {prefix!r} in project {project_id!r} expected one that is not revoked and whose id begins "
            f"so, got {len(found)}; see `soulcaster token list`."
        )
    [token] = found
    con.execute(
        "UPDATE access_tokens SET revoked_at = $3 WHERE project_id = $1 AND token_id = $2",
        [project_id, token.token_id, now],
    )
    add_activity(
        con, project_id, actor=actor, action="token", subject=token.token_id, reason="revoked",
        detail={"name": token.name}, at=now,
    )  # fmt: skip
    return token._replace(revoked_at=now)


def note_use(con: duckdb.DuckDBPyConnection, token_id: str, now: datetime) -> None:
    """Write down when a token was used last."""
    con.execute("UPDATE access_tokens SET used_at = $2 WHERE token_id = $1", [token_id, now])
