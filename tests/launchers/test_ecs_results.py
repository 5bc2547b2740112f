"""What comes back from a task is a claim: fixed names, bounds, hashes; and the model key stays with the gateway."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from ecs_store import Cloud, ask, running_cloud, wait
from job_folders import make_edit, make_verify, read_report
from standins.ecs_server import CLUSTER, Task
from standins.s3_server import BUCKET, REGION, S3, running_s3

from soulcaster.drill.model_server import MODEL_KEY, Say, Use, running_model
from soulcaster.launchers.aws import open_client
from soulcaster.launchers.ecs_checks import find_problems
from soulcaster.launchers.s3_folder import MOST_BYTES
from soulcaster.launchers.task_logs import keep_ends

ROOT = Path(__file__).resolve().parents[2]
FILES: dict[str, str | bytes] = {"sums.py": "def add(a, b):\n    return a - b\n"}
FIX = {"fix": {"files": {"sums.py": "def add(a, b):\n    return a + b\n"}}}
OUT = "soulcaster/t-1/out"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """One S3 for the file: it takes a while to start."""
    with running_s3() as made:
        yield made


@pytest.fixture
def cloud(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An ECS that runs tasks, and an S3; tasks know the model's key by their definition alone."""
    with running_cloud(s3, tmp_path / "ecs", monkeypatch, secrets={"SOULCASTER_GATEWAY_KEY": MODEL_KEY}) as made:
        yield made


def put(cloud: Cloud, name: str, content: bytes) -> None:
    """Write a result as somebody with the task's addresses could."""
    cloud.s3.client.put_object(Bucket=BUCKET, Key=f"{OUT}/{name}", Body=content)


def test_results_that_are_not_what_the_seal_names_are_not_used(tmp_path: Path, cloud: Cloud):
    """A patch changed after the seal, an unknown name, a file that is too large: left where they are, and told."""
    folder = make_edit(tmp_path / "job", FILES, FIX)
    launcher = cloud.launcher()
    handle = launcher.launch(ask(folder))
    assert cloud.ecs.task.ended.wait(200)
    put(cloud, "change.patch", b"another patch")
    put(cloud, "../../t-2/out/report.json", b"{}")
    put(cloud, "surprise.sh", b"rm -rf /")
    put(cloud, "log.txt", b"x" * (MOST_BYTES["log.txt"] + 1))

    state = wait(launcher, handle)

    assert "change.patch is not what the seal names" in state.reason
    assert "log.txt has 6,000,001 bytes" in state.reason
    assert not (folder / "change.patch").exists()
    assert {"report.json", "events.jsonl", "job.json", "source.tar.gz", "launch"} == {p.name for p in folder.iterdir()}
    assert "done" == read_report(folder)["status"]


def test_a_seal_that_is_none_counts_as_none(tmp_path: Path, cloud: Cloud):
    """What the task handed over is taken as unsealed, ECS's exit code counts, and the broken seal is told."""
    folder = make_edit(tmp_path / "job", FILES, FIX)
    launcher = cloud.launcher()
    handle = launcher.launch(ask(folder))
    assert cloud.ecs.task.ended.wait(200)
    put(cloud, "ended.json", b'{"exit_code": "all is well"}')

    state = wait(launcher, handle)

    assert ("ended", 0) == (state.state, state.exit_code)
    assert "the seal is not one" in state.reason
    assert "return a + b" in (folder / "change.patch").read_text()


def test_addresses_end_and_hold_for_one_key_alone(tmp_path: Path, cloud: Cloud):
    """A task that starts too late cannot fetch its ticket: the place's fault. An address opens nothing but its key."""
    cloud.s3.later = timedelta(hours=1)
    folder = make_edit(tmp_path / "job", FILES, FIX)
    launcher = cloud.launcher()
    try:
        state = wait(launcher, launcher.launch(ask(folder)))
    finally:
        cloud.s3.later = timedelta(0)

    assert ("ended", 22, True) == (state.state, state.exit_code, state.is_infrastructure)
    assert "the ticket failed: status 403" in cloud.ecs.task.log("agent")
    assert "X-Amz" not in cloud.ecs.task.log("agent")
    assert not [key for key in cloud.s3.list_keys() if "/out/" in key]


def test_a_container_that_left_nothing_is_explained_by_its_log(tmp_path: Path, cloud: Cloud):
    """The last line is in the reason, the rest beside the launch, without what looks like a key or moves a cursor."""

    def ship(task: Task) -> None:
        with (task.folder / "agent.log").open("a") as log:
            log.write(f"\x1b[31mkey AIza{'0a' * 18}\x1b[0m\n\nKilled by the kernel\n")
        cloud.ship_logs(task)

    cloud.ecs.ship_logs = ship
    cloud.s3.later = timedelta(hours=1)
    folder = make_edit(tmp_path / "job", FILES, FIX)
    launcher = cloud.launcher()
    try:
        state = wait(launcher, launcher.launch(ask(folder)))
    finally:
        cloud.s3.later = timedelta(0)

    kept = (folder / "launch" / "container.log").read_text()
    stream = f"agent/agent/{cloud.ecs.task.arn[-32:]}"
    assert "the last that agent wrote: 'Killed by the kernel'" in state.reason
    assert f"--- {stream}\n" in kept
    assert "the ticket failed: status 403" in kept
    assert "[secret]" in kept
    assert "AIza0" not in kept
    assert "\x1b" not in kept
    for group, told in (("/gone", ["agent left no log"]), ("", [])):
        assert told == keep_ends(cloud.launcher(log_group=group).place, cloud.ecs.task.arn, tmp_path)
    assert not (tmp_path / "launch").exists()


def test_a_log_that_cannot_be_read_is_told_and_stops_nothing(tmp_path: Path, cloud: Cloud, monkeypatch):
    """The end of the task is judged as it is; the reason says why its log is not in it."""
    cloud.ecs.fails_to_start = "CannotPullContainerError: no such image"
    launcher = cloud.launcher()
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", f"http://127.0.0.1:{server.getsockname()[1]}")
    state = wait(launcher, launcher.launch(ask(make_edit(tmp_path / "job", FILES, FIX))))

    assert "TaskFailedToStart; CannotPullContainerError" in state.reason
    assert "Reading log stream 'agent/agent/" in state.reason
    assert "got no answer" in state.reason


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2", "eu-central-1"])
def test_addresses_are_regional_and_sign_what_is_sent(region: str, monkeypatch):
    """In every region, the older ones too: no redirect on the way, and the condition of the seal is part of it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    client = open_client("s3", region=region, endpoint_url=None)
    url = client.generate_presigned_url(
        ClientMethod="put_object", Params={"Bucket": "jobs", "Key": "a/ended.json", "IfNoneMatch": "*"}, ExpiresIn=60
    )

    assert url.startswith(f"https://jobs.s3.{region}.amazonaws.com/a/ended.json?X-Amz-Algorithm=AWS4-HMAC-SHA256&")
    assert "X-Amz-SignedHeaders=host%3Bif-none-match" in url


def test_a_test_run_finds_the_gateway_closed_and_then_no_network_at_all(tmp_path: Path, cloud: Cloud):
    """What sets up shares the task's network with the gateway, which serves nothing; tests reach not even that."""
    launcher = cloud.launcher()
    port = launcher._gateway_port
    code = (
        "import time, urllib.request, urllib.error\n"
        f"url = 'http://127.0.0.1:{port}/v1beta/models/m:generateContent'\n"
        "for _ in range(100):\n"
        "    try:\n"
        "        urllib.request.urlopen(urllib.request.Request(url, data=b'{}'))\n"
        "    except urllib.error.HTTPError as error:\n"
        "        open('seen.txt', 'w').write(f'answer {error.code}')\n"
        "        break\n"
        "    except OSError as error:\n"
        "        if 'Permission denied' in str(error):\n"
        "            print(open('seen.txt').read(), 'then', error)\n"
        "            break\n"
        "        time.sleep(0.1)\n"
    )
    words = [sys.executable, "try.py"]
    folder = make_verify(tmp_path / "job", {"try.py": code}, words, setup=words)
    wait(launcher, launcher.launch(ask(folder, mode="verify")))

    report = read_report(folder)
    assert "answer 403 then <urlopen error [Errno 13] Permission denied>" in report["runs"]["baseline"]["tail"]
    assert ("container", "none") == (report["sandbox"], report["network"])
    assert MODEL_KEY not in cloud.ecs.task.log("gateway")


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".tools" / ".installed").exists(), reason="infra/install-tools.sh has not run")
def test_a_real_tool_edits_in_a_task_and_only_the_gateway_has_the_key(tmp_path: Path, cloud: Cloud):
    """Gemini CLI in the task, the gateway beside it with the key of the definition, the model a stand-in."""

    def turn(request):
        path = str(cloud.ecs.task.folder / "job" / "work" / "tree" / "sums.py")
        edit = {"file_path": path, "old_string": "a - b", "new_string": "a + b", "instruction": "add"}
        return Say("done") if request.n_results else Use(edit, ("replace",))

    with running_model(turn) as model:
        launcher = cloud.launcher(model_url=model.url)
        tool = {"name": "gemini-cli", "model": "gemini-2.5-flash", "protocol": "gemini"}
        limits = {"wall_seconds": 200, "idle_seconds": 200}
        folder = make_edit(
            tmp_path / "job", FILES, tool=tool, limits=limits, prompts={"fix": "add() subtracts; fix it"}
        )
        state = wait(launcher, launcher.launch(ask(folder, deadline_seconds=250)), 250)
        keys = {request.headers.get("x-goog-api-key") for request in model.requests}

    report = read_report(folder)
    assert (0, "done") == (state.exit_code, report["status"]), (state, report)
    counts = json.loads((folder / "launch" / "usage.json").read_text())
    assert counts["tokens"] == report["steps"][0]["tokens"] > 0
    assert '"replace"' in (folder / "launch" / "model.jsonl").read_text(), "the call that the model asked for"
    assert {MODEL_KEY} == keys
    assert MODEL_KEY not in json.dumps(cloud.ecs.task.request)
    for path in (*folder.rglob("*"), cloud.ecs.task.folder / "agent.log"):
        assert not path.is_file() or MODEL_KEY.encode() not in path.read_bytes(), path


def test_the_task_definition_is_one_and_what_is_asked_fits_it(tmp_path: Path, s3: S3, cloud: Cloud, monkeypatch):
    """Another implementation of ECS (moto) takes all definitions and the request; ours finds no fault in it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECS", s3.url)
    words = json.loads((ROOT / "infra" / "ecs" / "task-definition.json").read_text())
    client = boto3.client("ecs", region_name=REGION)
    client.create_cluster(clusterName=CLUSTER)
    taken = client.register_task_definition(**words)["taskDefinition"]
    for name in ("agent-alone", "gateway-alone"):
        client.register_task_definition(**json.loads((ROOT / "infra" / "ecs" / f"{name}.json").read_text()))
    ec2 = boto3.client("ec2", region_name=REGION, endpoint_url=s3.url)
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    launcher = cloud.launcher(task_definition="soulcaster-agent:1", subnets=(subnet,))
    folder = make_edit(tmp_path / "job", FILES, FIX)

    handle = launcher.launch(ask(folder))

    assert [] == list(find_problems(taken))
    assert [] == list(find_problems(words))
    [task] = client.describe_tasks(cluster=CLUSTER, tasks=[handle.split()[1]])["tasks"]
    assert ("t-1", "FARGATE") == (task["startedBy"], task["launchType"])
    assert ["agent", "gateway"] == [each["name"] for each in task["overrides"]["containerOverrides"]]
