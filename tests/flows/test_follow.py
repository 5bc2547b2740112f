"""The flow `follow` on a real Prefect server, against the stand-in for GitHub."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from standins.forge import running_forge

from flows.follow import FollowParams, follow
from soulcaster.db import jobs, repositories, write
from soulcaster.fix_models import Job, JobDetail, Repository

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server", "settings")]
NOW = datetime(2026, 1, 5, tzinfo=UTC)


def test_one_repository_that_fails_stops_nobody(settings, tmp_path, monkeypatch):
    """The good repository is followed; the one with a wrong token is a failed task of its own."""
    with running_forge(tmp_path) as forge:
        monkeypatch.setenv("GOOD_TOKEN", forge.token)
        monkeypatch.setenv("BAD_TOKEN", "wrong")

        def store(con):
            for name, variable in (("acme/good", "GOOD_TOKEN"), ("acme/bad", "BAD_TOKEN")):
                repository = Repository(
                    name=name, mode="draft", api_url=forge.url, clone_url=forge.clone_url(name), token_variable=variable
                )
                repositories.save_repository(con, "default", repository, actor="test", now=NOW)
                job = Job(
                    job_id=f"job-{name[5:]}", project_id="default", cluster_id="c", repository=name, status="pr_open",
                    pr_number=1, pr_state="open", actor="test", created_at=NOW, changed_at=NOW,
                )  # fmt: skip
                jobs.add_job(con, job, JobDetail())

        write(settings.duckdb_path, store)
        forge.add_repository("acme/good", {"a": "a\n"})
        forge.push("acme/good", "soulcaster/x", {"a": "b\n"})
        from standins.forge_shown import open_issue

        number = open_issue(forge, "acme/good", "Fix", "", ["soulcaster"], login="robot")
        forge.pulls["acme/good", number] = {
            "head": "soulcaster/x", "base": "main", "draft": True, "merged_at": None, "merge_commit_sha": None,
            "head_sha": None, "requested": set(),
        }  # fmt: skip
        forge.merge("acme/good", number)
        state = follow(FollowParams(), return_state=True)

    assert state.is_completed()
    [report] = state.result()
    assert ("acme/good", [f"{forge.url}/acme/good/pull/1"]) == (report.repository, report.merged)
