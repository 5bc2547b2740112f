"""The facts that priorities are made of, for all clusters of one run in one query."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from soulcaster.db.runs import find_published_run
from soulcaster.priority import FACTS, PAST_WEEKS, TOLD_SEVERITIES, TRUSTS, WINDOW_DAYS, score

if TYPE_CHECKING:
    import duckdb
    import polars as pl

_LOST = (
    r"\b(data ?loss|corrupt\w*|wip(e|ed|es) |vulnerab\w*|security|exploit\w*|leak(s|ed) |hacked|(charged|billed) twice|"
    r"los(e|es|ing|t) (all |every )?(my |our |their |the |user )?(data|files?|notes?|work|photos?|changes))"
)
_CRASH = (
    r"\b(crash\w*|freez(e|es|ing)|frozen|hang(s|ing)?|segfault\w*|segmentation fault|panic\w*|deadlock\w*|unusable|"
    r"out of memory|fatal|won'?t (start|open|load|launch|boot)|(does ?n.?t|can.?t|cannot) (start|launch|log ?in))\b"
)
_FAILURE = (
    r"\b(errors?|exceptions?|fail(s|ed|ure|ing)?|broken?|breaks|bugs?|wrong|incorrect\w*|missing|invalid|regression|"
    r"timeouts?|times out|not work\w*|stopped working|"
    r"(does|is|did|do|was) ?n.?t (work|show|save|sync|update|respond)\w*)\b"
)
_WISH = (
    r"\b(feature requests?|please (add|support|allow)|would be (nice|great)|i wish|suggestions?|how (do|can|to)|"
    r"is there (a|any) way|add (support|option)|proposal|enhancements?)\b"
)
_GRAVE_LABEL = (
    r"\b(critical|blocker|p0|security|severe|severity[:/ -]?(1|high|critical)|priority[:/ -]?(critical|highest))\b"
)
_BUG_LABEL = r"\b(bug|regression|defect|crash)\b"
_WISH_LABEL = r"\b(enhancement|feature|question|documentation|support)\b"

_FACTS = """
    WITH newest AS (
        SELECT least(max(coalesce(created_at, first_seen_at)), now()) AS last_at,
            min(coalesce(created_at, first_seen_at)) AS first_at
        FROM items WHERE project_id = $project
    ),
    member AS MATERIALIZED (
        SELECT m.cluster_id, i.item_id, i.source, i.author, i.source_group, i.user_count, i.event_count, i.state,
            i.level, i.exception_type, lower(array_to_string(i.labels, ' ')) AS labels,
            list_position($trusts, i.trust) - 1 AS trust,
            lower(CASE WHEN i.title = '' THEN left(i.body, 160) ELSE left(i.title, 160) END) AS words,
            greatest(0, (epoch(newest.last_at) - epoch(coalesce(i.created_at, i.first_seen_at))) / 86400) AS days
        FROM run_memberships m JOIN items i USING (item_id), newest
        WHERE m.run_id = $run::UUID AND i.project_id = $project
    ),
    judged AS (
        SELECT cluster_id, quantile_disc(CASE
            WHEN labels <> '' AND regexp_matches(labels, $grave_label) THEN 4
            WHEN regexp_matches(words, $troubles) THEN CASE
                WHEN regexp_matches(words, $lost) THEN 4 WHEN regexp_matches(words, $crash) OR level = 'fatal' THEN 3
                WHEN regexp_matches(words, $wish) AND NOT regexp_matches(words, $failure) THEN 0 ELSE 2 END
            WHEN level = 'fatal' THEN 3
            WHEN exception_type IS NOT NULL OR level = 'error' THEN 2
            WHEN labels <> '' AND regexp_matches(labels, $bug_label) THEN 2
            WHEN labels <> '' AND regexp_matches(labels, $wish_label) THEN 0
            ELSE 1 END, 0.75) AS severity_tier
        FROM member WHERE cluster_id IS NOT NULL GROUP BY cluster_id
    ),
    -- A person counts once a week, so that one who writes fifty times makes no burst.
    weekly AS (
        SELECT cluster_id, week,
            count(DISTINCT CASE WHEN author IS NULL THEN hash(item_id) ELSE hash(source, author) END) AS n
        FROM (SELECT *, CASE WHEN days < $window_days THEN 0 ELSE 1 + floor((days - $window_days) / 7) END AS week
              FROM member WHERE days < $window_days + 7 * $past_weeks)
        GROUP BY cluster_id, week
    ),
    pace AS (
        SELECT cluster_id, sum(n) FILTER (WHERE week = 0) AS n_recent, sum(n) FILTER (WHERE week > 0) AS n_past
        FROM weekly GROUP BY cluster_id
    ),
    project AS (
        SELECT coalesce(sum(n_recent), 0) AS n_recent, coalesce(sum(n_past), 0) AS n_past,
            coalesce(sum(n_past) FILTER (WHERE cluster_id IS NOT NULL), 0) AS n_past_grouped FROM pace
    ),
    -- What one error tracker's issue says of its users and events counts once, however many of its events we hold.
    issue AS (
        SELECT cluster_id, sum(n_users) AS n_users, sum(n_events) AS n_events FROM (
            SELECT cluster_id,
                CASE WHEN bool_or(author IS NULL) THEN coalesce(max(user_count), 1) ELSE 0 END AS n_users,
                greatest(max(event_count), count(*)) AS n_events
            FROM member WHERE source_group IS NOT NULL GROUP BY cluster_id, source, source_group
        ) GROUP BY cluster_id
    ),
    fact AS (
        SELECT cluster_id, count(DISTINCT hash(source, author)) FILTER (WHERE author IS NOT NULL) AS n_named,
            coalesce(sum(coalesce(user_count, 1)) FILTER (WHERE author IS NULL AND source_group IS NULL), 0)
                AS n_unnamed,
            coalesce(sum(event_count) FILTER (WHERE source_group IS NULL), 0) AS n_events,
            count(*) FILTER (WHERE state = 'open') AS n_open, max(trust) AS trust_level, min(days) AS days_since
        FROM member WHERE cluster_id IS NOT NULL GROUP BY cluster_id
    ),
    span AS (
        SELECT least($past_weeks, greatest(0, (epoch(last_at) - epoch(first_at)) / 604800 - $window_days / 7)) AS weeks
        FROM newest
    )
    SELECT f.cluster_id::VARCHAR AS cluster_id, coalesce(c.status, 'new') AS status, f.n_named,
        (f.n_unnamed + coalesce(u.n_users, 0))::BIGINT AS n_unnamed,
        (f.n_events + coalesce(u.n_events, 0))::BIGINT AS n_events, f.n_open,
        coalesce($told_tiers[list_position($told_names, c.severity)], j.severity_tier)::BIGINT AS severity_tier,
        c.severity IS NOT NULL AS is_severity_told, f.trust_level, f.days_since,
        coalesce(a.n_recent, 0)::BIGINT AS n_recent, coalesce(a.n_past, 0)::BIGINT AS n_past,
        (p.n_recent - coalesce(a.n_recent, 0))::BIGINT AS n_recent_elsewhere,
        (p.n_past - coalesce(a.n_past, 0))::BIGINT AS n_past_elsewhere, s.weeks AS past_weeks,
        p.n_past_grouped / greatest(1, s.weeks) / count(*) OVER () AS usual_rate
    FROM fact f JOIN judged j USING (cluster_id)
    LEFT JOIN clusters c ON c.cluster_id = f.cluster_id AND c.project_id = $project
    LEFT JOIN pace a ON a.cluster_id = f.cluster_id LEFT JOIN issue u ON u.cluster_id = f.cluster_id, project p, span s
    ORDER BY 1
"""

_STATE = """
    SELECT (
        SELECT [count(*), bit_xor(hash(hash(item_id, created_at, first_seen_at, source, author, source_group,
                user_count, event_count, state, level, exception_type, labels, trust, title,
                CASE WHEN title = '' THEN left(body, 160) END)))]
        FROM items WHERE project_id = $project
    ), (
        SELECT [count(*), bit_xor(hash(hash(item_id, cluster_id)))] FROM run_memberships
        WHERE run_id = $run::UUID AND project_id = $project
    ), (
        SELECT [count(*), bit_xor(hash(hash(cluster_id, status, severity)))] FROM clusters WHERE project_id = $project
    ), (
        SELECT CASE WHEN max(coalesce(created_at, first_seen_at)) > now() THEN now() END
        FROM items WHERE project_id = $project
    )
"""
"""Everything that `_FACTS` reads; the clock counts only while an item lies in the future. Each row is hashed twice:
DuckDB mixes the last column in by XOR, so the same change of two rows would cancel itself out."""

_MOST_KEPT = 12
_kept: OrderedDict[tuple[str, str], pl.DataFrame] = OrderedDict()
"""Rows by what they are and the state they belong to, newest last: an app that draws page after page counts once."""


def find_state(con: duckdb.DuckDBPyConnection, project_id: str, run_id: str | None) -> str:
    """A text that changes with everything that priorities are made of."""
    return repr((project_id, run_id, con.execute(_STATE, {"project": project_id, "run": run_id}).fetchall()))


def keep(name: str, state: str, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """What `make` gives, made once for each of the newest states; it must read nothing that the state leaves out."""
    found = _kept.get((name, state))
    if found is None:
        found = _kept[name, state] = make()
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    return found


def list_priorities(
    con: duckdb.DuckDBPyConnection, project_id: str, run_id: str | None = None, *, state: str | None = None
) -> pl.DataFrame:
    """One scored row (see `soulcaster.priority`) for every cluster on show, the most urgent first; none before any run.
    With a `run_id` those of that run; a cluster that was never on show counts as new.

    Time is counted back from the project's newest item, so that an archive has urgent clusters too. Words are looked
    for in titles (in the beginning of a text without one) and in English only; other reports go by level, exception
    and labels. Scored once for each state of the store: what is kept is found by a hash of all that the query reads,
    which a caller that has it gives as `state`.
    """
    run_id = run_id or find_published_run(con, project_id)
    state = state or find_state(con, project_id, run_id)
    return keep("priorities", state, lambda: _score_all(con, project_id, run_id))


def _score_all(con: duckdb.DuckDBPyConnection, project_id: str, run_id: str | None) -> pl.DataFrame:
    params = {
        "project": project_id,
        "run": run_id,
        "trusts": list(TRUSTS),
        "told_names": list(TOLD_SEVERITIES),
        "told_tiers": list(TOLD_SEVERITIES.values()),
        "window_days": WINDOW_DAYS,
        "past_weeks": PAST_WEEKS,
        "grave_label": _GRAVE_LABEL,
        "bug_label": _BUG_LABEL,
        "wish_label": _WISH_LABEL,
        "troubles": f"{_LOST}|{_CRASH}|{_FAILURE}|{_WISH}",
        "lost": _LOST,
        "crash": _CRASH,
        "failure": _FAILURE,
        "wish": _WISH,
    }
    facts = con.sql(_FACTS, params=params).pl().cast(FACTS)
    return score(facts).sort(["priority", "n_events", "cluster_id"], descending=[True, True, False])
