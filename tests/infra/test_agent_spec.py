"""What agent_spec says, computed by Terraform itself, fits the launcher: its containers, its calls, its settings."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.validate import validate_parameters

from soulcaster.launchers.ecs_checks import find_problems
from soulcaster.launching import make_launcher
from soulcaster.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT, REGION, DIGEST = "123456789012", "eu-central-1", "a" * 64
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:soulcaster/model-key"
VALUES = {
    "region": REGION,
    "account_id": ACCOUNT,
    "agent_image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/soulcaster-agent@sha256:{DIGEST}",
    "model_secret_arn": SECRET,
    "subnet_ids": ["subnet-1", "subnet-2"],
    "security_group_ids": ["sg-1"],
    "github_repository": "acme/feedback",
}
NOT_NARROWER = {"ecr:GetAuthorizationToken", "ecs:DescribeTaskDefinition"}
"""Actions for which AWS knows no resource."""
pytestmark = pytest.mark.skipif(
    shutil.which("terraform") is None, reason="no terraform on this machine, and no registry of ours carries it"
)


def outputs(folder: Path, **values: Any) -> dict[str, Any]:
    """All outputs of the module with these variables."""
    shutil.copytree(ROOT / "infra" / "terraform" / "modules" / "agent_spec", folder)
    (folder / "terraform.tfvars.json").write_text(json.dumps(VALUES | values))
    for words in (["init"], ["apply", "-auto-approve"]):
        subprocess.run(["terraform", *words, "-input=false"], cwd=folder, capture_output=True, check=True)
    said = subprocess.run(["terraform", "output", "-json"], cwd=folder, capture_output=True, check=True)
    return {name: output["value"] for name, output in json.loads(said.stdout).items()}


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The gateway beside the agent."""
    return outputs(tmp_path_factory.mktemp("beside") / "spec")


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The gateway in a task of its own."""
    folder = tmp_path_factory.mktemp("apart") / "spec"
    return outputs(folder, gateway_mode="task", gateway_security_group_ids=["sg-2"])


def definition(name: str) -> dict[str, Any]:
    """A definition of infra/ecs with the places filled that it leaves open."""
    text = (ROOT / "infra" / "ecs" / name).read_text()
    for place, value in {"ACCOUNT": ACCOUNT, "REGION": REGION, "DIGEST": DIGEST}.items():
        text = text.replace(place, value)
    filled: dict[str, Any] = json.loads(text)
    return filled


def same(containers: str) -> list[dict[str, Any]]:
    """Containers with the limits inside a text read: spaces in it say nothing."""
    found: list[dict[str, Any]] = json.loads(containers)
    for container in found:
        for each in container.get("environment", []):
            if each["name"] == "SOULCASTER_GATEWAY_LIMITS":
                each["value"] = json.loads(each["value"])
    return found


def statements(document: str) -> list[dict[str, Any]]:
    """Statements of a policy."""
    found: list[dict[str, Any]] = json.loads(document)["Statement"]
    return found


def test_terraform_and_the_files_for_doing_it_by_hand_say_the_same(beside: dict[str, Any], apart: dict[str, Any]):
    """One task, two ways to register it; the launcher's own checks and botocore's find no fault in either."""
    pairs = [
        (beside, "container_definitions", "size", "family", "task-definition.json", ("agent", "gateway")),
        (apart, "container_definitions", "size", "family", "agent-alone.json", ("agent",)),
        (apart, "gateway_container_definitions", "gateway_size", "gateway_family", "gateway-alone.json", ("gateway",)),
    ]
    shape = boto3.client("ecs", region_name=REGION).meta.service_model.operation_model("RegisterTaskDefinition")

    for said, containers, size, family, file, wanted in pairs:
        by_hand = definition(file)
        assert same(json.dumps(by_hand["containerDefinitions"])) == same(said[containers]), file
        assert {"cpu": by_hand["cpu"], "memory": by_hand["memory"]} == said[size]
        assert by_hand["family"] == said["names"][family]
        whole = by_hand | {"containerDefinitions": json.loads(said[containers])}
        validate_parameters(whole, shape.input_shape)
        assert [] == list(find_problems(whole, wanted))
    assert "gateway_container_definitions" not in beside, "beside the agent it has no task of its own"


def test_settings_of_terraform_make_a_launcher(beside: dict[str, Any], apart: dict[str, Any]):
    """Every setting of the launcher is said, each is a real one, and the place they name is the one that was made."""
    fields = {f"SOULCASTER_{name.upper()}": name for name in Settings.model_fields}
    ours = {name for name in fields if name.startswith("SOULCASTER_ECS_")}

    assert ours == {name for name in apart["settings"] if name.startswith("SOULCASTER_ECS_")}
    assert set(beside["settings"]) < set(apart["settings"]) <= set(fields)
    for said in (beside, apart):
        settings = Settings(_env_file=None, **{fields[name]: value for name, value in said["settings"].items()})
        place = make_launcher(settings).place
        names = said["names"]
        assert (names["cluster"], names["family"], names["bucket"]) == (
            place.cluster, place.task_definition, place.bucket,
        )  # fmt: skip
        assert (("subnet-1", "subnet-2"), ("sg-1",)) == (place.subnets, place.security_groups)
    assert ("soulcaster-gateway", ("sg-2",)) == (place.gateway_task_definition, place.gateway_security_groups)


def test_the_launcher_may_do_what_its_code_calls_and_no_more(beside: dict[str, Any]):
    """Every call of boto3 in soulcaster/launchers is allowed, and nothing else is."""
    words = {
        node.attr if isinstance(node, ast.Attribute) else node.value
        for path in (ROOT / "soulcaster" / "launchers").glob("*.py")
        if path.name != "local.py"  # calls no AWS; its SecretStr is read by the name of a call
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    }
    needed = {"iam:PassRole"}
    for service in ("ecs", "logs", "s3", "secretsmanager"):
        calls = boto3.client(service, region_name=REGION).meta.method_to_api_mapping
        needed |= {f"{service}:{calls[word]}" for word in words & set(calls)}
    # Both of these calls ask for the right to list.
    needed = {"s3:ListBucket" if name in {"s3:HeadBucket", "s3:ListObjectsV2"} else name for name in needed}

    allowed = {action for each in statements(beside["documents"]["launcher_policy"]) for action in each["Action"]}
    assert needed == allowed


def test_roles_are_narrow(beside: dict[str, Any], apart: dict[str, Any]):
    """No action by wildcard, "*" as resource only where AWS knows no other, and one role is handed to one service."""
    for said in (beside, apart):
        for name, document in said["documents"].items():
            if not name.endswith("_policy"):
                continue
            for each in statements(document):
                if each["Effect"] == "Deny":
                    continue
                assert not [action for action in each["Action"] if "*" in action], (name, each)
                assert each["Resource"] != "*" or set(each["Action"]) <= NOT_NARROWER, (name, each)
        [handing] = [
            each for each in statements(said["documents"]["launcher_policy"]) if "iam:PassRole" in each["Action"]
        ]
        assert f"arn:aws:iam::{ACCOUNT}:role/{said['names']['execution_role']}" == handing["Resource"]
        assert {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}} == handing["Condition"]
    families = [each for each in statements(apart["documents"]["launcher_policy"]) if "ecs:RunTask" in each["Action"]]
    assert ["soulcaster-agent:*", "soulcaster-gateway:*"] == [arn.rpartition("/")[2] for arn in families[0]["Resource"]]


def test_who_starts_the_task_reads_one_secret_one_image_and_writes_one_log(beside: dict[str, Any]):
    """The execution role reaches nothing but what the containers name."""
    reached = {
        each["Sid"]: each["Resource"] for each in statements(beside["documents"]["execution_policy"])
    }  # fmt: skip

    assert SECRET == reached["ReadModelKey"]
    assert reached["PullAgentImage"].endswith(":repository/soulcaster-agent")
    assert reached["WriteLog"].endswith(":log-group:/soulcaster/agent:*")
    assert {"SignInToRegistry", "PullAgentImage", "WriteLog", "ReadModelKey"} == set(reached)


def test_ci_is_one_repository_and_cannot_read_what_others_wrote(beside: dict[str, Any]):
    """Both trusts name audience and whole subject; plans are kept from job folders, logs and secrets."""
    subjects = {}
    for role in ("push", "plan"):
        [trust] = statements(beside["documents"][f"ci_{role}_trust"])
        assert "sts:AssumeRoleWithWebIdentity" == trust["Action"]
        said = trust["Condition"]["StringEquals"]
        assert "sts.amazonaws.com" == said["token.actions.githubusercontent.com:aud"]
        subjects[role] = said["token.actions.githubusercontent.com:sub"]
    denied = {action for each in statements(beside["documents"]["ci_plan_policy"]) for action in each["Action"]}

    assert "repo:acme/feedback:ref:refs/heads/main" == subjects["push"]
    assert "repo:acme/feedback:environment:terraform-plan" == subjects["plan"]
    assert {"s3:GetObject*", "secretsmanager:GetSecretValue", "logs:GetLogEvents"} <= denied
