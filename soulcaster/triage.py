"""What people decide about a cluster beside who is in it: status, title, owner, comments. All of it is in the log.

Owns what may be decided by whom; `edit` owns membership. A decision names what the person saw, so that two people who
decide at the same time do not overwrite each other unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from duckdb import DuckDBPyConnection

from soulcaster.actors import require
from soulcaster.db import activity, write
from soulcaster.db import triage as store
from soulcaster.db.triage import Decided
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings

DECIDABLE_STATUSES = ("new", "triaged", "ignored", "fixed")
"""What a person may set; fixing, pr_open and regressed follow from jobs, pull requests and new evidence."""

MAX_TITLE_CHARS = 120
_MAX_COMMENT_CHARS = 5_000
_MAX_OWNER_CHARS = 100

_Change = Callable[[Decided], Decided]


def set_status(
    settings: Settings,
    project_id: str,
    cluster: str,
    status: str,
    *,
    actor: str,
    reason: str = "",
    until_items: int | None = None,
    was: str | None = None,
) -> Decided:
    """Give a cluster a status; with `until_items` an ignored one is new again when it has so many items.

    Args:
        settings: where the store is.
        project_id: whose cluster it is.
        cluster: its id, or an unambiguous beginning of it.
        status: one of `DECIDABLE_STATUSES`.
        actor: who says so.
        reason: why, in the person's words.
        until_items: only with `ignored`; more than it has now.
        was: the status the person saw; None = whatever it is.

    Raises:
        PermanentError: no such cluster or status, it is being fixed, or somebody decided otherwise since.
    """
    change = _to_status(cluster, status, until_items, was)
    return _decide(settings, project_id, cluster, "status", change, actor=actor, reason=reason)


def set_statuses(
    settings: Settings, project_id: str, decisions: Sequence[tuple[str, str, str]], *, actor: str, reason: str = ""
) -> list[Decided]:
    """Give several clusters a status each: all of them or, when one is refused, none.

    Args:
        settings: where the store is.
        project_id: whose clusters they are.
        decisions: (cluster, status the person saw, status it gets).
        actor: who says so.
        reason: why, in the person's words.

    Raises:
        PermanentError: as `set_status`, of the first that is refused.
    """
    changes = [(cluster, _to_status(cluster, status, None, was)) for cluster, was, status in decisions]
    return _decide_all(settings, project_id, "status", changes, actor=actor, reason=reason)


def set_owners(
    settings: Settings, project_id: str, decisions: Sequence[tuple[str, str, str]], *, actor: str
) -> list[Decided]:
    """Say who looks after several clusters: (cluster, owner the person saw, owner it gets); '' means nobody.

    Args and Raises as in `set_statuses`.
    """
    changes = [(cluster, _to_owner(cluster, owner, was)) for cluster, was, owner in decisions]
    return _decide_all(settings, project_id, "owner", changes, actor=actor, reason="")


def rename(
    settings: Settings, project_id: str, cluster: str, title: str, *, actor: str, was: str | None = None
) -> Decided:
    """Give a cluster a title that no later naming replaces.

    Args and Raises as in `set_status`; the title has 1 to `MAX_TITLE_CHARS` characters on one line, and `was` is ''
    for a person who saw none.
    """
    wanted = " ".join(title.split())
    if not 1 <= len(wanted) <= MAX_TITLE_CHARS:
        raise PermanentError(
            f"Renaming cluster {cluster!r} expected a title of 1 to {MAX_TITLE_CHARS} characters, got {len(wanted)}."
        )

    def change(before: Decided) -> Decided:
        _check_unchanged(before, "title", before.title or "", was)
        return before._replace(title=wanted)

    return _decide(settings, project_id, cluster, "rename", change, actor=actor, reason="")


def set_owner(
    settings: Settings, project_id: str, cluster: str, owner: str, *, actor: str, was: str | None = None
) -> Decided:
    """Say who looks after a cluster; an empty name means nobody. Args and Raises as in `set_status`."""
    return _decide(settings, project_id, cluster, "owner", _to_owner(cluster, owner, was), actor=actor, reason="")


def comment(settings: Settings, project_id: str, cluster: str, text: str, *, actor: str) -> str:
    """Add a remark to a cluster's log; returns the cluster's id.

    Raises:
        PermanentError: no such cluster, or the text is empty or too long.
    """
    require(actor, project_id, "decide", f"Commenting on cluster {cluster!r}")
    wanted = text.strip()
    if not 1 <= len(wanted) <= _MAX_COMMENT_CHARS:
        raise PermanentError(
            f"Commenting on cluster {cluster!r} expected 1 to {_MAX_COMMENT_CHARS} characters, got {len(wanted)}."
        )

    def add(con: DuckDBPyConnection) -> str:
        found = store.get_decided(con, project_id, cluster)
        activity.add_activity(
            con, project_id, actor=actor, action="comment", subject=found.cluster_id, reason=wanted, detail={}
        )
        return found.cluster_id

    return write(settings.duckdb_path, add, timeout_seconds=settings.lock_timeout_seconds)


def _to_status(cluster: str, status: str, until_items: int | None, was: str | None) -> _Change:
    if status not in DECIDABLE_STATUSES:
        raise PermanentError(
            f"Setting the status of cluster {cluster!r} expected one of {', '.join(DECIDABLE_STATUSES)}, "
            f"got {status!r}."
        )

    def change(before: Decided) -> Decided:
        _check_unchanged(before, "status", before.status, was)
        if before.status == "fixing":
            raise PermanentError(
                f"Setting the status of cluster {before.cluster_id!r}: a job is fixing it; "
                "cancel the job first, see `soulcaster jobs`."
            )
        if until_items is not None and (status != "ignored" or until_items <= before.n_items):
            raise PermanentError(
                f"Ignoring cluster {before.cluster_id!r} until it has {until_items} items: expected the status ignored "
                f"and more than the {before.n_items} it has now, got {status!r} and {until_items}."
            )
        return before._replace(status=status, wakes_at=until_items)

    return change


def _to_owner(cluster: str, owner: str, was: str | None) -> _Change:
    wanted = " ".join(owner.split())
    if len(wanted) > _MAX_OWNER_CHARS:
        raise PermanentError(
            f"Giving cluster {cluster!r} an owner expected at most {_MAX_OWNER_CHARS} characters, got {len(wanted)}."
        )

    def change(before: Decided) -> Decided:
        if was is not None:
            _check_unchanged(before, "owner", before.owner or "", was)
        return before._replace(owner=wanted or None)

    return change


def _decide(
    settings: Settings, project_id: str, cluster: str, action: str, change: _Change, *, actor: str, reason: str
) -> Decided:
    """Read, change and log one cluster inside one transaction."""
    [decided] = _decide_all(settings, project_id, action, [(cluster, change)], actor=actor, reason=reason)
    return decided


def _decide_all(
    settings: Settings,
    project_id: str,
    action: str,
    changes: Sequence[tuple[str, _Change]],
    *,
    actor: str,
    reason: str,
) -> list[Decided]:
    """Read, change and log clusters inside one transaction: all or none."""
    first = changes[0][0] if changes else ""
    require(actor, project_id, "decide", f"Changing the {action} of cluster {first!r}")

    def apply(con: DuckDBPyConnection) -> list[Decided]:
        return [_apply(con, project_id, cluster, action, change, actor, reason) for cluster, change in changes]

    return write(settings.duckdb_path, apply, timeout_seconds=settings.lock_timeout_seconds)


def _apply(
    con: DuckDBPyConnection, project_id: str, cluster: str, action: str, change: _Change, actor: str, reason: str
) -> Decided:
    before = store.get_decided(con, project_id, cluster)
    after = change(before)
    if after == before:
        return before
    store.update_decided(con, project_id, after, is_title_given=action == "rename")
    changed = {name: value for name, value in after._asdict().items() if value != getattr(before, name)}
    activity.add_activity(
        con, project_id, actor=actor, action=action, subject=before.cluster_id, reason=reason,
        detail={"before": {name: getattr(before, name) for name in changed}, "after": changed},
    )  # fmt: skip
    return after


def _check_unchanged(before: Decided, what: str, now: str | None, was: str | None) -> None:
    if was is not None and was != now:
        raise PermanentError(
            f"Changing the {what} of cluster {before.cluster_id!r} from {was!r}: somebody made it {now!r} meanwhile; "
            "look again."
        )
