"""`soulcaster repo` and `soulcaster switch`, as a person types them."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from soulcaster.cli import app
from soulcaster.errors import PermanentError

runner = CliRunner()
pytestmark = pytest.mark.usefixtures("settings")


def call(*words):
    """The last line of standard output, parsed."""
    done = runner.invoke(app, [*words, "--json"], catch_exceptions=False)
    assert 0 == done.exit_code, done.output
    return json.loads(done.stdout.splitlines()[-1])


def test_a_repository_is_added_changed_shown_and_removed():
    """A second add changes only the fields it names."""
    call("repo", "add", "acme/notes", "--test", "make 'all tests'", "--route", "reddit:notesapp", "--reviewer", "ann")
    changed = call("repo", "add", "ACME/notes", "--mode", "draft")

    assert ("acme/notes", "draft", ["make", "all tests"], ["ann"]) == tuple(
        changed[key] for key in ("name", "mode", "test", "reviewers")
    )
    assert changed == call("repo", "show", "acme/notes")
    assert [changed] == call("repo", "list")["repositories"]
    assert "reddit:notesapp" in runner.invoke(app, ["repo", "list"]).stdout
    assert "make 'all tests'" in runner.invoke(app, ["repo", "show", "acme/notes"]).stdout
    call("repo", "remove", "acme/notes")
    assert [] == call("repo", "list")["repositories"]
    log = call("activity", "repository:acme/notes")["activity"]
    assert ["repository-remove", "repository-change", "repository-add"] == [row["action"] for row in log]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["acme"], "name"),
        (["acme/.."], "OWNER/NAME"),
        (["acme/a;b"], "name"),
        (["acme/a", "--path-prefix", "../x"], "Path prefix"),
        (["acme/a", "--path-prefix", "/etc"], "Path prefix"),
        (["acme/a", "--branch", "-x"], "base_branch"),
        (["acme/a", "--route", "mastodon:x"], "SOURCE:CHANNEL"),
        (["acme/a", "--app-id", "7"], "--app-key-variable"),
    ],
)
def test_what_a_repository_cannot_be_is_said_in_one_sentence(words, said):
    """Names that would climb out of folders or look like options never enter the store."""
    with pytest.raises(PermanentError, match=said):
        runner.invoke(app, ["repo", "add", *words], catch_exceptions=False)


def test_a_switch_stops_one_thing_and_says_who_and_why():
    """Turning one leaves the other on."""
    assert {"launching": {"on": True, "why": ""}, "publishing": {"on": True, "why": ""}} == call("switch")["switches"]

    found = call("switch", "launching", "off", "--reason", "odd patches", "--actor", "ann")["switches"]

    assert (False, True) == (found["launching"]["on"], found["publishing"]["on"])
    assert "by ann" in found["launching"]["why"]
    assert "odd patches" in runner.invoke(app, ["switch"]).stdout
    assert call("switch", "launching", "on")["switches"]["launching"]["on"]
    assert 2 == runner.invoke(app, ["switch", "launching"]).exit_code
