"""A store in which everything is so that people are told of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grouping_store as made
from fix_store import CLUSTER, RUN, add_cluster

from soulcaster import pull
from soulcaster.configured import SourceOptions
from soulcaster.db import llm, write
from soulcaster.db.jobs import add_job
from soulcaster.fix_models import Job, JobDetail
from soulcaster.items import item_id
from soulcaster.models import ChurnReport
from soulcaster.settings import Settings

TITLE = "<!channel> [click](http://evil.example) @everyone"
_WAITS = "e1000000-0000-4000-8000-000000000001"


def make_all_so(settings: Settings) -> None:
    """A burst in a cluster that came back, a waiting grouping and fix, a pull request, a budget, a blocked source."""
    add_cluster(settings)
    _add_burst(settings)
    pull.add_source(settings, made.PROJECT, "github", "acme/notes", SourceOptions(), actor="me")
    now = datetime.now(UTC)

    def insert(con) -> None:
        con.execute("UPDATE clusters SET status = 'regressed', title = $1", [TITLE])
        con.execute("UPDATE sources SET state = 'blocked', state_since = now(), message = 'token refused'")
        con.execute("INSERT INTO runs VALUES ($1, $2, now(), 'm', '{}', 3, 1, 0, 0, 0.1)", [_WAITS, made.PROJECT])
        churn = ChurnReport(waits_because="it moves much").model_dump_json()
        con.execute("INSERT INTO proposals VALUES ($1, $2, 'refit', 'me', $3, $4)", [_WAITS, made.PROJECT, RUN, churn])
        llm.add_call(
            con, made.PROJECT, llm.Call("name", "m", "ok", 1, 1, 0.81 * settings.llm_cost_per_day_usd), now=now
        )
        for job_id, status in (("j-open", "pr_open"), ("j-waits", "waiting")):
            job = Job(
                job_id=job_id, project_id=made.PROJECT, cluster_id=CLUSTER, repository="acme/notes", status=status,
                pr_number=7 if status == "pr_open" else None, pr_state="open" if status == "pr_open" else None,
                actor="me", created_at=now, changed_at=now,
            )  # fmt: skip
            add_job(con, job, JobDetail())

    write(settings.duckdb_path, insert)


def _add_burst(settings: Settings) -> None:
    """Thirty people report this cluster's problem within two days; other problems were quiet for two months."""
    now = datetime.now(UTC)
    old = [
        made.row(f"old-{n}", f"another matter {n}", author=f"old{n}", created_at=now - timedelta(days=8 + n))
        for n in range(50)
    ]
    new = [
        made.row(f"new-{n}", f"Total is wrong again {n}", author=f"new{n}", created_at=now - timedelta(hours=n))
        for n in range(40)
    ]
    made.add_items(settings, old + new)

    def insert(con) -> None:
        for each in new:
            con.execute(
                "INSERT INTO memberships VALUES ($1, $2, $3, 0, $4, NULL, 1.0, false, 0.9, 'near-text')",
                [RUN, made.PROJECT, str(item_id(made.PROJECT, "github", str(each["external_id"]))), CLUSTER],
            )

    write(settings.duckdb_path, insert)
