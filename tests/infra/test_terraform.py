"""infra/terraform without an account: format, `terraform test`, checkov, and rules of ours on what it says."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import hcl2
import pytest

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = ROOT / "infra" / "terraform"
FILES = sorted(TERRAFORM.rglob("*.tf"))
FOLDERS = sorted({path.parent for path in FILES})
MODULES = sorted(path for path in (TERRAFORM / "modules").iterdir() if path.is_dir())
CHECKOV = ROOT / ".venv-checks" / "bin" / "checkov"
needs_terraform = pytest.mark.skipif(
    shutil.which("terraform") is None, reason="no terraform on this machine, and no registry of ours carries it"
)


@functools.cache
def read(path: Path) -> dict[str, Any]:
    """A file of Terraform as data, without the quotes that the parser leaves on."""
    return unquoted(hcl2.loads(path.read_text()))


def unquoted(value: Any) -> Any:
    """The same without quotes around names and texts, and without the parser's own marks."""
    if isinstance(value, dict):
        return {str(unquoted(name)): unquoted(part) for name, part in value.items() if not str(name).startswith("__")}
    if isinstance(value, list):
        return [unquoted(part) for part in value]
    return value[1:-1] if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"' else value


def blocks(folder: Path, kind: str) -> dict[str, dict[str, Any]]:
    """Blocks with one name (variable, output, module), by name."""
    found = {}
    for path in folder.glob("*.tf"):
        for block in read(path).get(kind, []):
            found |= block
    return found


def resources() -> list[tuple[Path, str, str, dict[str, Any]]]:
    """Folder, type, name and body of every resource."""
    return [
        (path.parent, kind, name, body)
        for path in FILES
        for block in read(path).get("resource", [])
        for kind, named in block.items()
        for name, body in named.items()
    ]


@needs_terraform
def test_files_are_formatted():
    """`terraform fmt -check` has nothing to say."""
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-recursive", str(TERRAFORM)], capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stdout)


@needs_terraform
def test_the_providerless_module_passes_its_own_tests(tmp_path: Path):
    """`terraform test` of agent_spec, on a copy: nothing is left in the tree."""
    folder = shutil.copytree(TERRAFORM / "modules" / "agent_spec", tmp_path / "agent_spec")
    subprocess.run(["terraform", "init", "-input=false"], cwd=folder, capture_output=True, check=True)
    done = subprocess.run(["terraform", "test", "-no-color"], cwd=folder, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert re.search(r"Success! [1-9]\d* passed, 0 failed", done.stdout)


def test_checkov_finds_nothing_that_is_not_answered():
    """All its rules on all modules; what is skipped says why beside the resource."""
    if not CHECKOV.exists() and not os.environ.get("CI"):
        pytest.skip("checkov is not installed; run `make checks`")
    command = [CHECKOV, "--skip-download", "--framework", "terraform", "--output", "json", "--compact"]
    done = subprocess.run([*command, "-d", str(TERRAFORM)], capture_output=True, text=True, check=False, timeout=240)
    found = json.loads(done.stdout)

    assert [] == [(each["check_id"], each["resource"]) for each in found["results"]["failed_checks"]]
    assert 0 == found["summary"]["parsing_errors"]
    assert found["summary"]["passed"] > 100
    skips = re.findall(r"#checkov:skip=(\w+)(?::(.*))?", "".join(path.read_text() for path in FILES))
    assert [] == [rule for rule, reason in skips if len(reason.split()) < 5]


def test_everything_is_described():
    """Every module opens with what it is for; every variable has a type; variables and outputs say what they are."""
    for folder in FOLDERS:
        assert (folder / "main.tf").read_text().startswith("# "), folder
        for name, variable in blocks(folder, "variable").items():
            assert {"description", "type"} <= set(variable), (folder.name, name)
        for name, output in blocks(folder, "output").items():
            assert "description" in output, (folder.name, name)


def test_calls_of_modules_fit_the_modules():
    """What `terraform validate` would say of our own names; itself it needs the AWS provider."""
    for folder in FOLDERS:
        text = "".join(re.sub(r"(?m)^\s*#.*$", "", path.read_text()) for path in folder.glob("*.tf"))
        calls = blocks(folder, "module")
        for name, call in calls.items():
            module = (folder / call["source"]).resolve()
            assert module.is_relative_to(TERRAFORM), f"{name}: only modules of ours"
            variables = blocks(module, "variable")
            given = set(call) - {"source", "count", "for_each", "depends_on"}
            required = {each for each, body in variables.items() if "default" not in body}
            assert required <= given <= set(variables), (folder.name, name, given ^ required)
            used = set(re.findall(rf"\bmodule\.{name}(?:\[0\])?\.(\w+)", text))
            assert used <= set(blocks(module, "output")), (folder.name, name)
        assert set(re.findall(r"\bmodule\.(\w+)", text)) <= set(calls), folder
        assert set(re.findall(r"\bvar\.(\w+)", text)) == set(blocks(folder, "variable")), folder
        known = {key for path in folder.glob("*.tf") for block in read(path).get("locals", []) for key in block}
        assert set(re.findall(r"\blocal\.(\w+)", text)) == known, folder


def test_resources_are_named_as_they_are_referred_to():
    """Every `aws_…` that an expression mentions is a resource or data source of the same module."""
    for folder in FOLDERS:
        text = "".join(re.sub(r"(?m)^\s*#.*$", "", path.read_text()) for path in folder.glob("*.tf"))
        made = set(re.findall(r'(?m)^(?:resource|data) "(aws_\w+)" "(\w+)"', text))
        assert set(re.findall(r'(?<!")\b(aws_[a-z0-9_]+)\.(\w+)', text)) <= made, folder


def test_nothing_comes_in_but_to_the_proxy():
    """From outside only the host is reached, from where a variable says; inside the network groups name each other."""
    rules = [body for _, kind, _, body in resources() if kind.endswith("_ingress_rule")]
    outside = [body["cidr_ipv4"] for body in rules if "referenced_security_group_id" not in body]
    in_line = [
        (kind, name) for _, kind, name, body in resources() if kind == "aws_security_group" and "ingress" in body
    ]

    assert ["${each.value[0]}"] == outside
    assert "0.0.0.0/0" not in json.dumps(rules)
    older = [name for _, kind, name, _ in resources() if kind in {"aws_security_group_rule", "aws_network_acl_rule"}]
    assert [] == in_line == older
    assert "default" not in blocks(TERRAFORM / "modules" / "host", "variable")["ingress_cidrs"]


def test_the_state_holds_no_secret():
    """No value of a secret, no key and no password is made or named: the state is readable."""
    kinds = {kind for _, kind, _, _ in resources()}
    names = {name for folder in FOLDERS for name in blocks(folder, "variable")}

    secret = {"aws_secretsmanager_secret_version", "aws_iam_access_key", "aws_ssm_parameter", "aws_key_pair"}
    assert set() == kinds & secret
    assert {"aws"} == {kind.partition("_")[0] for kind in kinds}
    assert set() == {name for name in names if re.search(r"password|token|api_key|private_key|secret_value", name)}


def test_tasks_have_no_role_and_logs_an_end():
    """No task role; every log group forgets; instances ask for a token before they tell credentials."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for _, kind, _, body in resources():
        by_kind.setdefault(kind, []).append(body)

    assert [False, False] == ["task_role_arn" in body for body in by_kind["aws_ecs_task_definition"]]
    assert all("retention_in_days" in body for body in by_kind["aws_cloudwatch_log_group"])
    assert ["required"] == [body["metadata_options"][0]["http_tokens"] for body in by_kind["aws_instance"]]
    assert ["IMMUTABLE"] == [body["image_tag_mutability"] for body in by_kind["aws_ecr_repository"]]
    [block] = by_kind["aws_s3_bucket_public_access_block"]
    assert {True} == {value for name, value in block.items() if name != "bucket"}


def test_agent_spec_needs_no_provider():
    """Whoever checks it needs no network: no resource, no data source, no provider."""
    for path in (TERRAFORM / "modules" / "agent_spec").glob("*.tf"):
        content = read(path)
        assert not {"resource", "data", "provider"} & set(content), path
        assert "required_providers" not in path.read_text()
    assert "agent_spec" in {path.name for path in MODULES}
