"""How the tests of a repository are found."""

from __future__ import annotations

import json

import pytest

from soulcaster.errors import PermanentError
from soulcaster.fix_models import Repository
from soulcaster.fixing.test_command import find

REPOSITORY = Repository(name="acme/notes")


@pytest.fixture
def plant(tmp_path):
    """Writes files into a tree and says what is found there."""

    def put(files: dict[str, str], repository: Repository = REPOSITORY, **rest):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return find(tmp_path, repository, **rest)

    return put


def test_the_configuration_comes_first_and_pytest_is_asked_for_names(plant):
    """What a person configured is taken as it is, but for where the results go."""
    repository = REPOSITORY.model_copy(update={"test": ["python", "-m", "pytest"], "setup": ["make", "deps"]})

    found = plant({".soulcaster.toml": "[test]\ntest = 'x'", "Makefile": "test:\n\tgo\n"}, repository)

    assert (["make", "deps"], ["python", "-m", "pytest", "--junitxml={results}"], "junit") == (
        found.setup,
        found.test,
        found.results,
    )
    assert "exit_code" == plant({}, REPOSITORY.model_copy(update={"test": ["./run"]})).results
    assert "junit" == plant({}, REPOSITORY.model_copy(update={"test": ["./run", "--xml={results}"]})).results


def test_the_base_branchs_own_file_comes_second(plant):
    """As words or as one string."""
    text = "[test]\nsetup = 'npm ci'\ntest = ['npm', 'run', 'check all']\ndirectory = 'web'\ntimeout_seconds = 60\n"

    found = plant({".soulcaster.toml": text, "Makefile": "test:\n\tgo\n"})

    assert (["npm", "ci"], ["npm", "run", "check all"], "web", 60) == (
        found.setup,
        found.test,
        found.directory,
        found.timeout_seconds,
    )


@pytest.mark.parametrize(
    "text",
    ["[test", "[test]\n", "test = 1\n", "[test]\ntest='x'\ndirectory='../y'\n", "[test]\ntest='x'\nshell=true\n"],
)
def test_an_own_file_that_is_wrong_is_said_so(plant, text):
    """Not skipped in favour of something else."""
    with pytest.raises(PermanentError, match="base branch"):
        plant({".soulcaster.toml": text})


PYTEST = "def test_a():\n    assert 1\n"
JUNIT = ["-m", "pytest", "-q", "--junitxml={results}"]


@pytest.mark.parametrize(
    ("files", "setup", "test", "results"),
    [
        ({"Makefile": "test: deps\n\tgo test\n"}, [], ["make", "test"], "exit_code"),
        (
            {"Makefile": "test:\n\tpytest -q\n"},
            [],
            ["env", "PYTEST_ADDOPTS=--junitxml={results}", "make", "test"],
            "junit",
        ),
        ({"justfile": "test:\n  cargo test\n"}, [], ["just", "test"], "exit_code"),
        ({"tests/test_a.py": PYTEST}, [], ["python3", *JUNIT], "junit"),
        ({"tests/test_a.py": PYTEST, "pyproject.toml": "[tool.x]\n"}, [], ["python3", *JUNIT], "junit"),
        (
            {"tests/test_a.py": "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n"},
            [],
            ["python3", "-m", "unittest"],
            "exit_code",
        ),
        (
            {"tests/test_a.py": PYTEST, "uv.lock": "", "pyproject.toml": ""},
            ["uv", "sync", "--frozen", "--all-extras", "--all-groups"],
            ["uv", "run", "--no-sync", "python", *JUNIT],
            "junit",
        ),
        (
            {"tests/test_a.py": PYTEST, "poetry.lock": ""},
            ["poetry", "install", "--no-interaction"],
            ["poetry", "run", "python", *JUNIT],
            "junit",
        ),
        ({"package.json": json.dumps({"scripts": {"test": "jest"}})}, [], ["env", "CI=1", "npm", "test"], "exit_code"),
        (
            {"package.json": json.dumps({"scripts": {"test": "jest"}}), "pnpm-lock.yaml": ""},
            ["pnpm", "install", "--frozen-lockfile", "--ignore-scripts"],
            ["env", "CI=1", "pnpm", "test"],
            "exit_code",
        ),
        (
            {"package.json": json.dumps({"scripts": {"test": "node --test test/"}}), "package-lock.json": "{}"},
            ["npm", "ci", "--ignore-scripts"],
            [
                "env",
                "CI=1",
                "node",
                "--test",
                "--test-reporter=junit",
                "--test-reporter-destination={results}",
                "test/",
            ],
            "junit",
        ),
        ({"go.mod": "module x", "go.sum": ""}, ["go", "mod", "download"], ["go", "test", "./..."], "exit_code"),
        ({"Cargo.toml": ""}, [], ["cargo", "test"], "exit_code"),
        ({"pom.xml": "<x/>"}, [], ["mvn", "-B", "-q", "test"], "exit_code"),
        ({"gradlew": "", "pom.xml": ""}, [], ["sh", "./gradlew", "test"], "exit_code"),
        ({"tox.ini": "[tox]"}, [], ["tox"], "exit_code"),
    ],
)
def test_markers_of_each_language_are_known(plant, files, setup, test, results):
    """With the frozen install of the manager whose lock lies there."""
    found = plant(files)
    assert (setup, test, results) == (found.setup, found.test, found.results)
    assert found.found_in


def test_dependencies_of_a_plain_python_project_go_into_an_environment_of_its_own(plant):
    """Extras are taken from our own list of names, whatever else the file names."""
    project = (
        "[project]\nname='x'\ndependencies=['httpx']\n[project.optional-dependencies]\ntest=['pytest']\n'$(rm)'=[]\n"
    )

    found = plant({"pyproject.toml": project, "requirements.txt": "# none\n", "tests/test_a.py": PYTEST})

    assert "python3 -m venv" in found.setup[2]
    assert found.setup[2].endswith("pip install -q -e '.[test]' pytest")
    assert "rm" not in found.setup[2]
    assert found.test[0].endswith("/bin/python")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"README.md": "run make test"},
        {"package.json": json.dumps({"scripts": {"test": 'echo "Error: no test specified" && exit 1'}})},
        {"package.json": "[1]"},
        {"package.json": "{nonsense"},
        {"package.json": json.dumps({"scripts": {"test": 7}})},
        {"pyproject.toml": "[project]\nname='x'\n"},
        {"Makefile": "build:\n\tgo\ntest := 1\n"},
    ],
)
def test_where_nothing_tells_there_is_no_command(plant, files):
    """No guessing; the job says that nobody could check the patch."""
    assert plant(files) is None


def test_the_nearest_marker_above_the_changed_files_counts(plant):
    """In a repository of many packages, and within the path prefix."""
    files = {
        "Makefile": "test:\n\tall\n",
        "web/package.json": json.dumps({"scripts": {"test": "jest"}}),
        "api/go.mod": "",
    }

    assert "api" == plant(files, changed=["api/x/a.go", "api/y/b.go"]).directory
    assert "web" == plant(files, changed=["web/src/a.ts"]).directory
    assert "" == plant(files, changed=["web/src/a.ts", "api/b.go"]).directory
    assert "web" == plant(files, REPOSITORY.model_copy(update={"path_prefix": "web"})).directory


def test_links_out_of_the_tree_are_not_read(plant, tmp_path):
    """A marker that is a symlink counts as none."""
    (tmp_path / "Makefile").symlink_to("/etc/hostname")
    (tmp_path / ".soulcaster.toml").symlink_to("/nonexistent")
    assert plant({}) is None
