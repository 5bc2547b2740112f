"""The map as a file: by the command, from a real store."""

from __future__ import annotations

import grouping_store as made
import pytest
from typer.testing import CliRunner

from soulcaster.cli import app
from soulcaster.errors import PermanentError
from soulcaster.export_map import export_map
from soulcaster.recluster import recluster


@pytest.mark.parametrize(("name", "start"), [("map.html", b"<!doctype html>"), ("map.PNG", b"\x89PNG")])
def test_the_command_draws_the_map_and_writes_it(settings, tmp_path, monkeypatch, name, start):
    """One command from a grouping to a file, by the ending of its name."""
    made.add_stars(settings, 5, 3)
    recluster(settings, made.PROJECT)
    monkeypatch.setenv("SOULCASTER_HOME", str(settings.home))

    done = CliRunner().invoke(app, ["map", "-o", str(tmp_path / name), "--project", made.PROJECT, "--json"])

    assert 0 == done.exit_code, done.output
    assert '"n_clusters": 5' in done.output.splitlines()[-1]
    assert (tmp_path / name).read_bytes().startswith(start)


def test_other_endings_are_refused_by_name(settings, tmp_path):
    """Nothing is written."""
    with pytest.raises(PermanentError, match=r"\.html or \.png"):
        export_map(settings, made.PROJECT, tmp_path / "map.svg")

    assert not (tmp_path / "map.svg").exists()


def test_without_a_map_it_says_what_to_run(settings, tmp_path):
    """No empty picture is written."""
    made.add_stars(settings, 3, 3)
    recluster(settings, made.PROJECT)

    with pytest.raises(PermanentError, match="soulcaster recluster"):
        export_map(settings, made.PROJECT, tmp_path / "map.png")

    assert not (tmp_path / "map.png").exists()


def test_a_folder_that_is_not_there_is_a_sentence(settings, tmp_path):
    """The operating system's reason, and what to do."""
    from soulcaster.draw import draw

    made.add_stars(settings, 3, 3)
    recluster(settings, made.PROJECT)
    draw(settings, made.PROJECT)

    with pytest.raises(PermanentError, match="No such file"):
        export_map(settings, made.PROJECT, tmp_path / "nowhere" / "map.png")
