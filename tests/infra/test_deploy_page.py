"""docs/deploy.md says of every command whether it ran; its secrets become files for one user."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "deploy.md").read_text()
COMPOSE = ROOT / "infra" / "compose"
MARKED = re.compile(r"   # ([✓~✗])")
NEEDS_OUTSIDE = re.compile(r"\b(aws|docker|gh|terraform (init|plan|apply|validate|output|-chdir)|curl -fsS https)\b")


def commands() -> list[str]:
    """Lines of the page's shell blocks that are commands; what stands in a here-document is none."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    return [
        line
        for block in blocks
        for line in re.sub(r"(?ms)(<<'?END'?[^\n]*\n).*?^END\n", r"\1", block).splitlines()
        if line
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Compose file and script, apart from the checkout."""
    for name in ("compose.yaml", "write_secrets.py"):
        shutil.copy2(COMPOSE / name, tmp_path / name)
    return tmp_path


def write(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """The script's end."""
    command = [sys.executable, folder / "write_secrets.py"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_every_command_says_whether_it_ran():
    """One mark a command; nothing that needs an account, an engine or GitHub claims to have run."""
    lines = commands()

    assert [] == [line for line in lines if not MARKED.search(line)]
    assert [] == [line for line in lines if NEEDS_OUTSIDE.search(line) and "# ✓" in line]
    assert len(lines) > 40


def test_what_the_page_names_is_there():
    """Files that it links to or names exist."""
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", PAGE)]
    named = re.findall(r"(?<![\w/.])((?:infra|agent|docs)/[\w./-]+\w)", PAGE.replace("`", " "))
    assert [] == [link for link in links if link and not (ROOT / "docs" / link).exists()]
    assert [] == [name for name in named if not (ROOT / name).exists()]


def test_the_answers_that_the_page_writes_are_json(tmp_path: Path):
    """Its here-documents, run as they stand: variables of the example, and every secret that the compose file gives."""
    found = re.findall(r"(?ms)^cat >(\S+) (<<'?END'?)[^\n]*\n(.*?^END)$", PAGE)
    for name, begin, rest in found:
        subprocess.run(["bash", "-euc", f"cat >{name} {begin}\n{rest}\n"], cwd=tmp_path, check=True)
    answers, secrets = (json.loads((tmp_path / name).read_text()) for name, _, _ in found)

    variables = (ROOT / "infra" / "terraform" / "examples" / "team" / "variables.tf").read_text()
    assert set(answers) <= set(re.findall(r'variable "(\w+)"', variables))
    assert set(yaml.safe_load((COMPOSE / "compose.yaml").read_text())["secrets"]) == set(secrets) - {"NOTES_TOKEN"}
    assert 48 == len(secrets["PREFECT_SERVER_DATABASE_PASSWORD"])


def test_git_ignores_what_holds_answers_and_secrets():
    """Nothing of one's own that the page has one write is committed by a careless `git add`."""
    written = [
        f"infra/terraform/examples/team/{name}" for name in ("terraform.tfvars.json", "app.json", "first.tfplan")
    ]
    written += [f"infra/compose/{name}" for name in (".env", "settings.env", "secrets/SOULCASTER_RECEIVER_TOKEN")]
    said = subprocess.run(["git", "check-ignore", *written], cwd=ROOT, capture_output=True, text=True, check=False)

    assert written == said.stdout.split()


def test_secrets_become_files_of_one_user(folder: Path):
    """Each value is a file of mode 400; what is missing is an empty one; what nobody names is the worker's."""
    given = {"SOULCASTER_RECEIVER_TOKEN": "two\nlines", "NOTES_TOKEN": "ghp_x"}
    write(folder, json.dumps(given | {"SOULCASTER_RECEIVER_TOKEN": "older"}))
    said = write(folder, json.dumps(given))
    secrets = folder / "secrets"

    assert 0 == said.returncode, said.stderr
    assert "two" not in said.stdout + said.stderr
    assert "two\nlines" == (secrets / "SOULCASTER_RECEIVER_TOKEN").read_text()
    assert "ghp_x" == (secrets / "worker" / "NOTES_TOKEN").read_text()
    assert "" == (secrets / "SOULCASTER_OIDC_CLIENT_SECRET").read_text()
    files = [path for path in secrets.rglob("*") if path.is_file()]
    assert {0o400} == {path.stat().st_mode & 0o777 for path in files}
    assert set(yaml.safe_load((folder / "compose.yaml").read_text())["secrets"]) | {"NOTES_TOKEN"} == {
        path.name for path in files
    }


@pytest.mark.parametrize("text", ["", "[1]", '{"../out": "x"}', '{"A": 1}'])
def test_what_is_no_object_of_texts_is_refused(folder: Path, text: str):
    """One sentence, nothing written: no name leads out of the folder."""
    said = write(folder, text)

    assert 1 == said.returncode
    assert "Traceback" not in said.stderr
    assert not (folder / "secrets").exists()
