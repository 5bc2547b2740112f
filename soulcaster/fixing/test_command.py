"""How a repository's tests are run: configured, told by its base branch, or found by the files that lie there.

Reads the base tree only, never what an agent left; runs nothing. What it chose, and why, goes into the job.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from soulcaster.errors import PermanentError
from soulcaster.fix_models import Repository

OWN_FILE = ".soulcaster.toml"
_MOST_BYTES = 1_000_000
_VENV = ".soulcaster-venv"
_TEST_EXTRAS = ("test", "tests", "testing", "dev")
_NPM_PLACEHOLDER = "no test specified"
_PLAIN_SCRIPT = re.compile(r"[\w ./:@=,*-]*\Z")
_PYTEST = ["-m", "pytest", "-q", "--junitxml={results}"]


class TestCommand(BaseModel):
    """Words of the commands that install what tests need and run all tests, and where they were found."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    __test__ = False

    setup: list[str] = Field(default_factory=list, max_length=100)
    test: list[str] = Field(min_length=1, max_length=100)
    results: Literal["junit", "exit_code"] = "exit_code"
    directory: str = Field("", max_length=300, description="Below the tree, where both run; '' is its top.")
    timeout_seconds: int = Field(900, ge=1, le=7200)
    found_in: str = Field("", description="For people: what made us choose it.")

    @field_validator("setup", "test", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return shlex.split(value) if isinstance(value, str) else value


class _Found(NamedTuple):
    setup: list[str]
    test: list[str]
    results: Literal["junit", "exit_code"]
    found_in: str


def find(tree: Path, repository: Repository, *, changed: Sequence[str] = ()) -> TestCommand | None:
    """How to run the tests of the tree, or None when nothing says how.

    Args:
        tree: the base branch's files.
        repository: its configuration comes first.
        changed: paths of the patch; in a repository of many packages the nearest marker above them counts.

    Raises:
        PermanentError: the base branch's own file is not what it must be.
    """
    if repository.test:
        return TestCommand(
            setup=repository.setup,
            test=_with_results(repository.test),
            results=_results_of(repository.test),
            timeout_seconds=repository.test_timeout_seconds,
            found_in="the configuration of the repository",
        )
    own = tree / OWN_FILE
    if own.is_file():
        return _read_own(own, repository)
    for folder in _folders(repository, changed):
        for look in (_make, _python, _node, _go, _rust, _java, _tox):
            found = look(tree / folder)
            if found:
                where = f"{folder}/{found.found_in}" if folder else found.found_in
                return TestCommand(
                    setup=repository.setup or found.setup,
                    test=found.test,
                    results=found.results,
                    directory=folder,
                    timeout_seconds=repository.test_timeout_seconds,
                    found_in=where,
                )
    return None


def _read_own(path: Path, repository: Repository) -> TestCommand:
    try:
        table = tomllib.loads(_text(path)).get("test", {})
        command = TestCommand.model_validate(
            {"timeout_seconds": repository.test_timeout_seconds, **table, "found_in": f"{OWN_FILE} of the base branch"}
        )
    except (tomllib.TOMLDecodeError, ValidationError, ValueError, TypeError) as error:
        first = str(error).splitlines()[0]
        raise PermanentError(
            f"Reading {OWN_FILE} of {repository.name!r} expected a table [test] with setup, test, results, directory "
            f"and timeout_seconds, got {first!r}; mend it on the base branch."
        ) from None
    if PurePosixPath(command.directory).is_absolute() or ".." in command.directory:
        raise PermanentError(
            f"Reading {OWN_FILE} of {repository.name!r} expected a directory below its top, got "
            f"{command.directory!r}; mend it on the base branch."
        )
    test = _with_results(command.test)
    return command.model_copy(
        update={"test": test, "results": "junit" if _results_of(command.test) == "junit" else command.results}
    )


def _results_of(words: Sequence[str]) -> Literal["junit", "exit_code"]:
    return "junit" if _is_pytest(words) or any("{results}" in word for word in words) else "exit_code"


def _with_results(words: Sequence[str]) -> list[str]:
    if _is_pytest(words) and not any("{results}" in word for word in words):
        return [*words, "--junitxml={results}"]
    return list(words)


def _is_pytest(words: Sequence[str]) -> bool:
    names = [word.rsplit("/", 1)[-1] for word in words]
    return names[0] in ("pytest", "py.test") or any(pair == ("-m", "pytest") for pair in pairwise(words))


def _folders(repository: Repository, changed: Sequence[str]) -> list[str]:
    """Folders to look in, nearest first: from the changed files, or the path prefix, up to the top."""
    start = PurePosixPath(repository.path_prefix.strip("/"))
    parents = [PurePosixPath(path).parent.parts for path in changed]
    if parents:
        shared = []
        for parts in zip(*parents, strict=False):
            if len(set(parts)) > 1:
                break
            shared.append(parts[0])
        start = PurePosixPath(*shared)
    chain = [start, *start.parents]
    return ["" if str(each) == "." else str(each) for each in chain]


def _make(folder: Path) -> _Found | None:
    for name, word in (("Makefile", "make"), ("makefile", "make"), ("GNUmakefile", "make"), ("justfile", "just")):
        text = _text(folder / name)
        recipe = re.search(r"^test[ \t]*:(?!=)[^\n]*\n((?:[ \t]+[^\n]*\n?|\n)*)", text, re.MULTILINE)
        if recipe:
            if "pytest" in recipe[1]:
                words = ["env", "PYTEST_ADDOPTS=--junitxml={results}", word, "test"]
                return _Found([], words, "junit", f"target test of {name}, which runs pytest")
            return _Found([], [word, "test"], "exit_code", f"target test of {name}")
    return None


def _python(folder: Path) -> _Found | None:
    names = ("uv.lock", "poetry.lock", "pyproject.toml", "requirements.txt", "setup.py", "setup.cfg", "pytest.ini")
    markers = [name for name in names if (folder / name).is_file()]
    patterns = ("test_*.py", "tests/**/test_*.py", "test/**/test_*.py", "tests/**/*_test.py", "*_test.py")
    test_files = [path for pattern in patterns for path in folder.glob(pattern)]
    if not test_files:
        return None
    uses_pytest = _uses_pytest(folder, test_files)
    if not uses_pytest and (folder / "tox.ini").is_file():
        return None
    setup, python = _python_setup(folder, markers)
    marker = markers[0] if markers else str(test_files[0].relative_to(folder))
    if uses_pytest:
        return _Found(setup, [*python, *_PYTEST], "junit", marker)
    return _Found(setup, [*python, "-m", "unittest"], "exit_code", marker)


def _python_setup(folder: Path, markers: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command that installs, and the words that start the Python with what it installed."""
    if "uv.lock" in markers:
        return ["uv", "sync", "--frozen", "--all-extras", "--all-groups"], ["uv", "run", "--no-sync", "python"]
    if "poetry.lock" in markers:
        return ["poetry", "install", "--no-interaction"], ["poetry", "run", "python"]
    wanted = _pip_arguments(folder)
    if not wanted:
        return [], ["python3"]
    # Nothing of the repository enters the shell's words: file names and extras are from our own short lists.
    install = f"{_VENV}/bin/python -m pip install -q {shlex.join(wanted)}"
    return ["sh", "-c", f"python3 -m venv {_VENV} && {install}"], [f"{_VENV}/bin/python"]


def _uses_pytest(folder: Path, test_files: Sequence[Path]) -> bool:
    said = ("pyproject.toml", "uv.lock", "poetry.lock", "setup.cfg", "tox.ini", "setup.py", "Pipfile")
    texts = [_text(folder / name) for name in said] + [_text(path) for path in folder.glob("*requirements*.txt")]
    if any("pytest" in text for text in texts) or (folder / "pytest.ini").is_file():
        return True
    if any((folder / name).is_file() for name in ("conftest.py", "tests/conftest.py")):
        return True
    bodies = [_text(path) for path in test_files[:20]]
    return any("pytest" in body or re.search(r"^(?:async )?def test_", body, re.MULTILINE) for body in bodies)


def _pip_arguments(folder: Path) -> list[str]:
    """What pip must install; nothing for a tree that needs nothing."""
    wanted = []
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-test.txt", "test-requirements.txt"):
        if re.search(r"^\s*[^#\s]", _text(folder / name), re.MULTILINE):
            wanted += ["-r", name]
    project = _toml(folder / "pyproject.toml")
    table = project.get("project", {})
    extras = [each for each in _TEST_EXTRAS if each in table.get("optional-dependencies", {})]
    if table.get("dependencies") or extras or "build-system" in project or (folder / "setup.py").is_file():
        wanted += ["-e", f".[{','.join(extras)}]" if extras else "."]
    return [*wanted, "pytest"] if wanted else []


def _node(folder: Path) -> _Found | None:
    try:
        package: Any = json.loads(_text(folder / "package.json") or "{}")
    except ValueError:
        return None
    scripts = package.get("scripts") if isinstance(package, dict) else None
    script = scripts.get("test") if isinstance(scripts, dict) else None
    if not isinstance(script, str) or not script.strip() or _NPM_PLACEHOLDER in script:
        return None
    manager, setup = _node_setup(folder, package)
    words = script.split()
    plain = _PLAIN_SCRIPT.match(script) is not None
    if plain and words[:2] == ["node", "--test"]:
        reporter = ["--test-reporter=junit", "--test-reporter-destination={results}"]
        return _Found(setup, ["env", "CI=1", "node", "--test", *reporter, *words[2:]], "junit", "package.json")
    if plain and words[0] == "vitest":
        options = ["--", "--run", "--reporter=junit", "--outputFile={results}"]
        return _Found(setup, ["env", "CI=1", manager, "test", *options], "junit", "package.json")
    return _Found(setup, ["env", "CI=1", manager, "test"], "exit_code", "package.json")


def _node_setup(folder: Path, package: dict[str, Any]) -> tuple[str, list[str]]:
    frozen = ["install", "--frozen-lockfile", "--ignore-scripts"]
    locks = {
        "package-lock.json": ("npm", ["ci", "--ignore-scripts"]),
        "npm-shrinkwrap.json": ("npm", ["ci", "--ignore-scripts"]),
        "pnpm-lock.yaml": ("pnpm", frozen),
        "yarn.lock": ("yarn", frozen),
        "bun.lock": ("bun", frozen),
        "bun.lockb": ("bun", frozen),
    }
    for name, (manager, words) in locks.items():
        if (folder / name).is_file():
            return manager, [manager, *words]
    needs = package.get("dependencies") or package.get("devDependencies")
    return "npm", ["npm", "install", "--ignore-scripts", "--no-audit"] if needs else []


def _go(folder: Path) -> _Found | None:
    if not (folder / "go.mod").is_file():
        return None
    setup = ["go", "mod", "download"] if (folder / "go.sum").is_file() else []
    return _Found(setup, ["go", "test", "./..."], "exit_code", "go.mod")


def _rust(folder: Path) -> _Found | None:
    if not (folder / "Cargo.toml").is_file():
        return None
    setup = ["cargo", "fetch"] if (folder / "Cargo.lock").is_file() else []
    return _Found(setup, ["cargo", "test"], "exit_code", "Cargo.toml")


def _java(folder: Path) -> _Found | None:
    if (folder / "gradlew").is_file():
        return _Found([], ["sh", "./gradlew", "test"], "exit_code", "gradlew")
    if (folder / "pom.xml").is_file():
        program = ["sh", "./mvnw"] if (folder / "mvnw").is_file() else ["mvn"]
        return _Found([], [*program, "-B", "-q", "test"], "exit_code", "pom.xml")
    if (folder / "build.gradle").is_file() or (folder / "build.gradle.kts").is_file():
        return _Found([], ["gradle", "test"], "exit_code", "build.gradle")
    return None


def _tox(folder: Path) -> _Found | None:
    for name, word in (("tox.ini", "tox"), ("noxfile.py", "nox")):
        if (folder / name).is_file():
            return _Found([], [word], "exit_code", name)
    return None


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError:
        return {}


def _text(path: Path) -> str:
    """The file's text, cut; '' where there is none. A link is not followed: it may lead out of the tree."""
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_MOST_BYTES).decode("utf-8", "replace")
