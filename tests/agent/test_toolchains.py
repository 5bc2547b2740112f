"""Tests of other languages run in the sandbox of this machine, by the command that is found for them.

One is left out only where its toolchain is not on the machine.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from job_folders import make_verify, read_report

from soulcaster.fix_models import LaunchRequest, Repository
from soulcaster.fixing.test_command import find
from soulcaster.launchers.local import LocalLauncher

RUST = {
    "Cargo.toml": '[package]\nname = "sums"\nversion = "0.1.0"\nedition = "2021"\n\n[dependencies]\nplus = "1"\n',
    "Cargo.lock": (
        'version = 3\n\n[[package]]\nname = "plus"\nversion = "1.0.0"\n'
        'source = "registry+https://github.com/rust-lang/crates.io-index"\nchecksum = "' + "0" * 64 + '"\n\n'
        '[[package]]\nname = "sums"\nversion = "0.1.0"\ndependencies = [\n "plus",\n]\n'
    ),
    ".cargo/config.toml": (
        '[source.crates-io]\nreplace-with = "vendored"\n\n[source.vendored]\ndirectory = "vendor"\n'
    ),
    "vendor/plus/.cargo-checksum.json": '{"files": {}, "package": "' + "0" * 64 + '"}',
    "vendor/plus/Cargo.toml": '[package]\nname = "plus"\nversion = "1.0.0"\nedition = "2021"\n',
    "vendor/plus/src/lib.rs": "pub fn add(a: i32, b: i32) -> i32 { a + b }\n",
    "src/lib.rs": "#[test]\nfn adds() { assert_eq!(plus::add(2, 3), 5); }\n",
}
GO = {
    "go.mod": "module sums\n\ngo 1.18\n",
    "sums.go": "package sums\n\nfunc Add(a, b int) int { return a + b }\n",
    "sums_test.go": (
        'package sums\n\nimport "testing"\n\nfunc TestAdd(t *testing.T) {\n\tif Add(2, 3) != 5 {\n\t\tt.Fatal("5")\n'
        "\t}\n}\n"
    ),
}
NODE = {
    "package.json": '{"name": "sums", "scripts": {"test": "node --test"}}',
    "sums.js": "exports.add = (a, b) => a + b;\n",
    "sums.test.js": (
        "const { test } = require('node:test');\nconst assert = require('node:assert');\n"
        "test('adds', () => assert.equal(require('./sums').add(2, 3), 5));\n"
    ),
}
JAVA = {
    "Makefile": "test:\n\tjavac -d out Sums.java\n\tjava -cp out Sums\n",
    "Sums.java": (
        "public class Sums {\n  static int add(int a, int b) { return a + b; }\n"
        "  public static void main(String[] words) { if (add(2, 3) != 5) System.exit(1); }\n}\n"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "files", "right", "wrong"),
    [
        ("cargo", RUST, "2, 3), 5", "2, 3), 6"),
        ("go", GO, "!= 5", "!= 6"),
        ("node", NODE, "2, 3), 5", "2, 3), 6"),
        ("javac", JAVA, "!= 5", "!= 6"),
    ],
    ids=["rust", "go", "node", "java"],
)
def test_tests_of_a_language_are_green_and_red_without_a_network(
    tmp_path: Path, program: str, files: dict[str, str], right: str, wrong: str
):
    """The command is found by the marker, the toolchain is seen, dependencies come from the tree."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not on this machine")
    launcher = LocalLauncher(model_url="", model_key=None, sandbox="auto")
    if launcher.find_sandbox()[0] == "none":
        pytest.skip(f"no sandbox on this machine: {launcher.find_sandbox()[1]}")
    tree = tmp_path / "tree"
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    command = find(tree, Repository(name="acme/sums"), changed=[])
    assert command is not None
    codes = []
    for name, change in (("green", right), ("red", wrong)):
        given: dict[str, str | bytes] = {path: text.replace(right, change) for path, text in files.items()}
        folder = make_verify(tmp_path / name, given, command.test, setup=command.setup, results=command.results)
        request = LaunchRequest(token=f"t-{name}", mode="verify", folder=folder, deadline_seconds=200)
        handle = launcher.launch(request)
        deadline = time.monotonic() + 200
        while launcher.poll(handle).state == "running":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        report = read_report(folder)
        assert ("bwrap", "own") == (report["sandbox"], report["network"])
        run = report["runs"]["baseline"]
        assert "done" == run["status"], run
        codes.append((run["exit_code"] == 0, run["tail"]))
    assert [True, False] == [is_green for is_green, _ in codes], codes
