"""A table of the published run into a file under the home folder, replaced in one step."""

from __future__ import annotations

from prefect import task

from soulcaster.settings import load_settings
from tasks import artifacts, policies


@task(name="export", **policies.patient())
def export(project: str, kind: str, file_name: str) -> str:
    """Path of the file that was written."""
    from soulcaster.export import export as write_file

    settings = load_settings()
    folder = settings.exports_path
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name
    n_rows = write_file(settings, project, kind, path)
    artifacts.next_step("export", f"**{n_rows:,} {kind}** of project `{project}` are in `{path}`.")
    return str(path)
