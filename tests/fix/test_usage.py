"""What a job uses of the model, while it runs and by day."""

from __future__ import annotations

from fix_store import CLUSTER, plan
from grouping_store import PROJECT
from standins.planned_launcher import PlannedLauncher

from soulcaster import fix, job_folders
from soulcaster.job_view import view_job
from soulcaster.run_bundle import list_spent


def test_usage_shows_while_the_agent_works(store, tmp_path):
    """The gateway's count of a running launch is in the job, in its view and in the sum of the day."""
    launcher = PlannedLauncher(tmp_path / "agents", plan(**{"launch 1": {"running": 1000, "no_report": True}}))
    job = fix.start(store, PROJECT, CLUSTER, actor="ann")
    fix.advance_until_rest(store, PROJECT, job.job_id, launcher)
    folder = job_folders.path_of(store, job.job_id) / "1-edit" / "launch"
    folder.mkdir()
    (folder / "usage.json").write_text('{"requests": 7, "tokens": 900, "cost_usd": 0.25, "refused": 0}')

    view = view_job(store, PROJECT, job.job_id)
    assert (7, 900, 0.25) == (view.job.n_requests, view.job.n_tokens, view.job.cost_usd)
    assert 900 == view.launches[0].usage.tokens
    moved = fix.advance_until_rest(store, PROJECT, job.job_id, launcher)
    assert ("running", 900) == (moved.status, moved.n_tokens)
    assert [(1, 7, 900, 0.25)] == [
        (day.n_jobs, day.n_requests, day.n_tokens, day.cost_usd) for day in list_spent(store, PROJECT, days=1)
    ]
    (folder / "usage.json").write_text("half")
    assert 0 == view_job(store, PROJECT, job.job_id).job.n_tokens
