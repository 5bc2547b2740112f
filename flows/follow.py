"""Follow our pull requests: merged ones fix their cluster, closed ones give it back, new reports say it came back."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, Field

from soulcaster.fix_models import FollowReport
from tasks.approval import inert
from tasks.artifacts import next_step
from tasks.follow import follow as look
from tasks.follow import list_followed, note_regressions
from tasks.naming import open_project, run_name


class FollowParams(BaseModel):
    """Whose pull requests to follow."""

    project: str | None = Field(
        default=None, min_length=1, max_length=64, description="Project; SOULCASTER_PROJECT when empty."
    )


@flow(name="follow", flow_run_name=run_name)
def follow(params: FollowParams = FollowParams()) -> list[FollowReport]:
    """What became of them. A repository that fails is a failed task of its own and stops nobody."""
    project = open_project(params.project)
    names = list_followed(project)
    states = [look(project, name, return_state=True) for name in names]
    found = [state.result(raise_on_failure=False) for state in states]
    reports = [report for report in found if isinstance(report, FollowReport)]
    returned = note_regressions(project)
    lines = [f"- merged: {url}" for report in reports for url in report.merged]
    lines += [f"- closed without merging: {url}" for report in reports for url in report.closed]
    lines += [f"- CI fails: {url}" for report in reports for url in report.failing]
    lines += [f"- begun: {inert(text)}" for report in reports for text in report.rounds]
    lines += [f"- left to people: {inert(text)}" for report in reports for text in report.left_to_people]
    lines += [f"- **not looked at**: {name}, see its task" for name in {*names} - {one.repository for one in reports}]
    lines += [f"- given up: {text}" for report in reports for text in report.refused]
    lines += [f"- reported again after its fix: cluster `{one.cluster_id}` ({len(one.item_ids)})" for one in returned]
    n_open = sum(report.n_open for report in reports)
    next_step("follow", "\n".join([f"**{n_open} open** pull requests of ours in project `{project}`.", "", *lines]))
    return reports
