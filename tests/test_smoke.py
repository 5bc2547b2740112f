"""`soulcaster smoke` does each thing once, for real as far as this machine goes, and leaves nothing behind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import fix_store
import pytest
from ecs_store import Cloud, running_cloud
from fix_store import NAME
from grouping_store import PROJECT
from pydantic import SecretStr
from standins.forge import Forge, running_forge
from standins.s3_server import running_s3
from typer.testing import CliRunner

from soulcaster.cli.commands import app
from soulcaster.drill.model_server import MODEL_KEY, Say, Use, running_model
from soulcaster.errors import PermanentError
from soulcaster.launchers.local import LocalLauncher
from soulcaster.settings import Settings
from soulcaster.smoke import Check, describe, run_smoke

ROOT = Path(__file__).resolve().parents[1]
HAS_SANDBOX = LocalLauncher(model_url="", model_key=None).find_sandbox()[0] == "bwrap"


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    """A started forge."""
    with running_forge(tmp_path / "forge") as started:
        yield started


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An ECS that runs tasks, and an S3."""
    with running_s3() as s3, running_cloud(s3, tmp_path / "ecs", monkeypatch) as made:
        yield made


@pytest.fixture
def store(settings: Settings, forge: Forge, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings over a store that knows the forge's repository."""
    monkeypatch.setenv("NOTES_TOKEN", forge.token)
    fix_store.add_repository(settings, forge)
    return settings.model_copy(update={"project": PROJECT})


def told(checks: list[Check]) -> dict[str, str]:
    """What was said, by name; all of it passed."""
    assert all(check.is_ok for check in checks), checks
    return {check.name: check.told for check in checks}


@pytest.mark.skipif(not HAS_SANDBOX, reason="no sandbox on this machine")
def test_the_sandbox_holds_an_edit_and_lets_nothing_be_reached(settings):
    """An edit comes back, and a test run finds neither a port nor a file of this machine."""
    found = told(run_smoke(settings, "sandbox"))

    assert ["probe", "edit", "look around"] == list(found)
    assert "held by bwrap" in found["edit"]
    assert found["look around"].endswith("reached: nothing")


def test_without_a_sandbox_the_first_check_fails_and_nothing_is_run(settings):
    """It says why, and stops there."""
    [check] = run_smoke(settings.model_copy(update={"agent_sandbox": "none"}), "sandbox")

    assert (False, "probe") == (check.is_ok, check.name)
    assert "switched off" in check.told


def test_one_task_on_ecs_mends_a_line_and_its_files_are_gone_afterwards(settings, cloud):
    """The place is looked at, one task runs, S3 is as empty as before; of the settings only the launcher differs."""
    place = cloud.launcher().place
    chosen = settings.model_copy(
        update={
            "ecs_region": place.region, "ecs_cluster": place.cluster, "ecs_bucket": place.bucket,
            "ecs_task_definition": place.task_definition, "ecs_subnets": "subnet-1", "ecs_security_groups": "sg-1",
        }
    )  # fmt: skip
    found = told(run_smoke(chosen, "ecs", launcher=cloud.launcher()))

    assert "held by container" in found["task"]
    assert 1 == len(cloud.ecs.tasks)
    assert [] == cloud.s3.list_keys()
    with pytest.raises(PermanentError, match="SOULCASTER_ECS_CLUSTER"):
        run_smoke(settings, "ecs")
    cloud.ecs.definition["containerDefinitions"][1]["secrets"] = []
    [check] = run_smoke(chosen, "ecs", launcher=cloud.launcher())
    assert "no SOULCASTER_GATEWAY_KEY" in check.told
    assert 1 == len(cloud.ecs.tasks)


def test_a_draft_pull_request_is_opened_found_again_closed_and_its_branch_deleted(store, forge):
    """One closed draft stays visible; the base is as it was."""
    before = forge.branches(NAME)
    found = told(run_smoke(store, "github", repository=NAME))

    [pull] = forge.pull_requests
    assert ["sign-in", "read", "draft", "again", "cleaning up"] == list(found)
    assert ("closed", True, False) == (pull["state"], pull["draft"], bool(pull["merged_at"]))
    assert before == forge.branches(NAME)
    assert re.search(r"created: http://127", found["draft"])


def test_somebody_else_s_push_is_not_deleted(store, forge):
    """When a person pushed to the branch meanwhile the check fails, and the branch stays."""
    pushed: list[str] = []

    def push(check: Check) -> None:
        if check.name == "draft" and not pushed:
            branch = forge.pull_requests[0]["head"]["ref"]
            pushed.append(branch)
            forge.push(NAME, branch, {"by-hand.txt": "mine\n"})

    found = run_smoke(store, "github", repository=NAME, on_check=push)

    assert not found[-1].is_ok
    assert pushed[0] in forge.branches(NAME)


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".tools" / ".installed").exists(), reason="infra/install-tools.sh has not run")
@pytest.mark.skipif(not HAS_SANDBOX, reason="no sandbox on this machine")
def test_the_model_mends_a_line_and_its_tokens_are_counted(settings):
    """The real Gemini CLI in the real sandbox, through the real gateway; only the model is a stand-in."""
    edit = Use(
        {
            "file_path": "/job/work/tree/sums.py", "old_string": "a - b", "new_string": "a + b", "instruction": "add",
        },
        ("replace",),
    )  # fmt: skip
    with running_model([edit, Say("done")]) as model:
        chosen = settings.model_copy(
            update={"agent_tool": "gemini-cli", "agent_model_url": model.url, "gemini_api_key": SecretStr(MODEL_KEY)}
        )
        found = told(run_smoke(chosen, "model"))

    assert "gemini-cli" in found["edit"]
    assert re.search(r"counted [2-9] requests, \d{3} tokens", found["counts"])


def test_it_says_what_it_touches_and_does_nothing_without_a_yes(store, forge):
    """A no ends it; the words name repository, branch and cost."""
    said = describe(store, "github", NAME)
    assert "soulcaster/smoke-" in said
    assert NAME in said
    with pytest.raises(PermanentError, match="--repo OWNER/NAME"):
        describe(store, "github")
    with pytest.raises(PermanentError, match="SOULCASTER_ECS_BUCKET"):
        describe(store, "ecs")

    answer = CliRunner().invoke(app, ["smoke", "github", "--repo", NAME, "--project", PROJECT], input="n\n")
    assert 1 == answer.exit_code
    assert [] == forge.pull_requests
    answer = CliRunner().invoke(app, ["smoke", "github", "--repo", NAME, "--project", PROJECT, "--yes", "--json"])
    assert 0 == answer.exit_code, answer.output
    assert all(check["is_ok"] for check in json.loads(answer.stdout.splitlines()[-1]))
