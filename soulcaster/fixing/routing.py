"""Which repository a cluster belongs to: rules by source first, a lone repository next, else a person. Pure.

The text of the feedback is never asked: a stranger does not choose where we write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from soulcaster.errors import PermanentError
from soulcaster.fix_models import Repository

_MIN_SHARE = 0.5
"""A rule decides only when it speaks for more than half of the items: with fewer, most evidence points elsewhere."""


class Origin(NamedTuple):
    """Where one item came from."""

    source: str
    channel: str | None


class Routed(NamedTuple):
    """The repository, and why in one sentence."""

    repository: Repository
    because: str


def route(
    origins: Sequence[Origin], repositories: Sequence[Repository], *, named: str | None = None, suggested: str = ""
) -> Routed:
    """The repository that a cluster belongs to.

    Args:
        origins: of each of the cluster's items.
        repositories: the project's.
        named: what a person chose; it is taken when it is configured and not off.
        suggested: what a diagnosis said; it counts only where the rules leave more than one allowed repository.

    Raises:
        PermanentError: none is configured or allowed, or a person has to choose; names the candidates.
    """
    allowed = [each for each in repositories if each.mode != "off"]
    if named is not None:
        return _named(named, repositories)
    if not allowed:
        raise PermanentError(
            "Choosing a repository for the cluster expected one that is configured and not off, got "
            f"{'none at all' if not repositories else 'only such that are off'}; `soulcaster repo add OWNER/NAME`."
        )
    hits = Counter[str]()
    for origin in origins:
        hits.update({each.name for each in allowed if matches(each, origin)})
    most = max(hits.values(), default=0)
    best = [each for each in allowed if hits[each.name] == most]
    if most and len(best) == 1 and most > _MIN_SHARE * len(origins):
        return Routed(best[0], f"{most} of {len(origins)} items come from where its routes point")
    candidates = best if most > _MIN_SHARE * len(origins) else [each for each in allowed if not each.routes] or allowed
    if len(candidates) == 1 and not candidates[0].routes:
        return Routed(candidates[0], "it is the only repository without routes of its own")
    chosen = [each for each in candidates if each.name.casefold() == suggested.casefold()]
    if chosen:
        return Routed(chosen[0], "the diagnosis named it, among those that the routes allow")
    names = ", ".join(repr(each.name) for each in candidates[:5])
    raise PermanentError(
        f"Choosing a repository for the cluster expected one that its sources point to, got {len(candidates)} "
        f"candidates ({names}); choose with `--repo OWNER/NAME`, or add a route to one of them."
    )


def matches(repository: Repository, origin: Origin) -> bool:
    """Whether one of the repository's routes covers the origin; channels do not tell upper from lower case."""
    channel = (origin.channel or "").casefold()
    return any(
        rule.source in (None, origin.source) and fnmatchcase(channel, rule.channel.casefold())
        for rule in repository.routes
    )


def _named(named: str, repositories: Sequence[Repository]) -> Routed:
    found = [each for each in repositories if each.name.casefold() == named.casefold()]
    if not found:
        raise PermanentError(
            f"Choosing repository {named!r} expected one that is configured, got another; `soulcaster repo list` shows "
            "them, `soulcaster repo add` adds one."
        )
    if found[0].mode == "off":
        raise PermanentError(
            f"Choosing repository {named!r} expected mode plan or draft, got off; "
            f"`soulcaster repo add {found[0].name} --mode plan` changes it."
        )
    return Routed(found[0], "a person chose it")
