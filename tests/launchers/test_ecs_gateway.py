"""The gateway in a task of its own: the agent's task holds no key and needs no way out but to it and to S3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from ecs_store import Cloud, ask, running_cloud, wait
from job_folders import make_edit, make_verify, read_report
from standins.ecs_server import no_place
from standins.s3_server import S3, running_s3
from waiting import wait_until

from agent.bridge import read_counts
from soulcaster.drill.model_server import MODEL_KEY, Say, running_model
from soulcaster.errors import PermanentError, TransientError
from soulcaster.launchers.ecs_checks import find_problems

INFRA = Path(__file__).resolve().parents[2] / "infra" / "ecs"
GATEWAY = "soulcaster-gateway"
FILES: dict[str, str | bytes] = {"sums.py": "def add(a, b):\n    return a - b\n"}
APART = {"gateway_task_definition": GATEWAY, "gateway_security_groups": ("sg-gateway",)}
# A coding tool of a few lines: asks the model once, writes the answer down.
TOOL = """#!/usr/bin/env python3
import json, os, sys, urllib.request
sys.stdin.read()
options = json.loads(os.environ["KILO_CONFIG_CONTENT"])["provider"]["google"]["options"]
body = json.dumps({"contents": [], "tools": [{"functionDeclarations": [{"name": "edit"}]}]}).encode()
request = urllib.request.Request(options["baseURL"] + "/models/m:generateContent", data=body)
answer = json.load(urllib.request.urlopen(request))
open("sums.py", "w").write("def add(a, b):\\n    return a + b\\n")
text = answer["candidates"][0]["content"]["parts"][0]["text"]
print(json.dumps({"type": "text", "part": {"text": text}}), flush=True)
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """One S3 for the file: it takes a while to start."""
    with running_s3() as made:
        yield made


@pytest.fixture
def cloud(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An ECS with both definitions; a tool stands where the image has Kilo."""
    place = tmp_path / "tools" / "node_modules"
    (place / ".bin").mkdir(parents=True)
    (place / "@kilocode" / "cli").mkdir(parents=True)
    (place / "@kilocode" / "cli" / "package.json").write_text('{"version": "0"}')
    (place / ".bin" / "kilo").write_text(TOOL)
    (place / ".bin" / "kilo").chmod(0o755)
    with running_cloud(
        s3, tmp_path / "ecs", monkeypatch, files=("agent-alone", "gateway-alone"), tools=tmp_path / "tools",
        secrets={"SOULCASTER_GATEWAY_KEY": MODEL_KEY},
    ) as made:  # fmt: skip
        yield made


def make_model_edit(folder: Path) -> Path:
    """A job whose one step asks a model."""
    tool = {"name": "kilo", "model": "m", "protocol": "gemini"}
    return make_edit(folder, FILES, tool=tool, prompts={"fix": "add() subtracts; fix it"})


def test_the_gateway_runs_apart_and_ends_with_the_agent(tmp_path: Path, cloud: Cloud):
    """First the gateway's task, then the agent's under another group; its counts come back, and nothing runs on."""
    with running_model([Say("Now it adds.")]) as model:
        launcher = cloud.launcher(model_url=model.url, **APART)
        folder = make_model_edit(tmp_path / "job")
        state = wait(launcher, launcher.launch(ask(folder)))
    gateway, agent = cloud.ecs.tasks.values()
    report = read_report(folder)

    assert (0, "done", "Now it adds.") == (state.exit_code, report["status"], report["steps"][0]["answer"]), report
    assert {MODEL_KEY} == {request.headers["x-goog-api-key"] for request in model.requests}
    assert [["gateway"], ["agent"]] == [list(task.processes) for task in (gateway, agent)]
    assert [["sg-gateway"], ["sg-1"]] == [
        task.request["networkConfiguration"]["awsvpcConfiguration"]["securityGroups"] for task in (gateway, agent)
    ]
    assert ["STOPPED", "STOPPED"] == [gateway.status, agent.status]
    assert 120 == json.loads((folder / "launch" / "usage.json").read_text())["tokens"]
    kept = (folder / "launch" / "model.jsonl").read_text()
    assert ["Now it adds."] == [json.loads(line)["answer"]["text"] for line in kept.splitlines()]
    assert MODEL_KEY not in kept
    assert MODEL_KEY not in json.dumps([task.request for task in (gateway, agent)])


def test_tests_have_no_gateway_at_all(tmp_path: Path, cloud: Cloud):
    """Neither a task nor a container of it is started for a test run."""
    launcher = cloud.launcher(**APART)
    folder = make_verify(tmp_path / "job", FILES, ["true"])
    wait(launcher, launcher.launch(ask(folder, mode="verify")))

    [task] = cloud.ecs.tasks.values()
    assert ["agent"] == [each["name"] for each in task.request["overrides"]["containerOverrides"]]
    assert ("done", "none") == (read_report(folder)["status"], read_report(folder)["network"])


def test_a_gateway_without_its_word_is_closed(tmp_path: Path, cloud: Cloud):
    """Another task of the same network gets nothing; stopping the launch ends both tasks."""
    launcher = cloud.launcher(model_url="http://127.0.0.1:9", **APART)
    handle = launcher.launch(ask(folder := make_model_edit(tmp_path / "job")))
    gateway = next(iter(cloud.ecs.tasks.values()))
    root = f"http://{gateway.address}:{launcher._gateway_port}"
    word = json.loads((folder / "launch" / "gateway.json").read_text())["word"]
    wait_until(lambda: read_counts(f"{root}/{word}") is not None, "the gateway to listen")

    for path in ("usage", "wrong/usage", "v1beta/models/m:generateContent", ""):
        assert 404 == httpx.get(f"{root}/{path}").status_code
    assert 200 == httpx.get(f"{root}/{word}/usage").status_code
    launcher.stop(handle)
    assert {"STOPPED"} == {task.status for task in cloud.ecs.tasks.values()}


def test_a_gateway_that_finds_no_place_is_waited_for_and_one_that_does_not_start_ends_the_launch(
    tmp_path: Path, cloud: Cloud
):
    """The agent is never started without one; the reason of ECS is told."""
    launcher = cloud.launcher(**APART)
    folder = make_model_edit(tmp_path / "job")
    cloud.ecs.refusals.append(no_place("RESOURCE:CPU"))
    with pytest.raises(TransientError, match="found no place: RESOURCE:CPU"):
        launcher.launch(ask(folder))
    cloud.ecs.fails_to_start = "ResourceInitializationError: unable to pull secrets"

    with pytest.raises(PermanentError, match="unable to pull secrets"):
        launcher.launch(ask(folder))
    assert [GATEWAY] * 3 == [each["taskDefinition"] for each in cloud.ecs.called("RunTask")]


def test_the_two_definitions_are_the_one_taken_apart():
    """What differs from the sidecar's is said here; each has what it needs and not what the other has."""
    both, agent, gateway = (
        json.loads((INFRA / f"{name}.json").read_text()) for name in ("task-definition", "agent-alone", "gateway-alone")
    )
    beside = {each["name"]: each for each in both["containerDefinitions"]}
    [alone], [apart] = agent["containerDefinitions"], gateway["containerDefinitions"]

    assert {**beside["agent"], "memory": 8192} == {**alone, "dependsOn": beside["agent"]["dependsOn"]}
    assert {**beside["gateway"], "essential": True} == apart
    assert [] == [*find_problems(agent, ["agent"]), *find_problems(gateway, ["gateway"])]
    assert any("in a task of its own" in told for told in find_problems(both, ["agent"]))
    assert any("no SOULCASTER_GATEWAY_KEY" in told for told in find_problems(agent, ["gateway"]))
