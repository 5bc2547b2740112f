"""Patches made by git, read back; and what is no patch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soulcaster.errors import PermanentError
from soulcaster.fixing import patches


def git_diff(before: dict[str, bytes], after: dict[str, bytes], folder: Path, *options: str) -> str:
    """What git says changed between two trees, as bytes read as UTF-8."""

    def run(*words):
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True)
        return done.stdout.decode()

    run("init", "-q")
    for tree in (before, after):
        for path in folder.iterdir():
            if path.name != ".git":
                subprocess.run(["rm", "-rf", str(path)], check=True)
        for name, content in tree.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        if tree is before:
            run("add", "-A")
            run("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x", "--allow-empty")
    run("add", "-A")
    return run("diff", "--cached", *options)


def test_files_kinds_and_lines_are_those_that_git_wrote(tmp_path):
    """Created, deleted, changed, renamed and binary files; names with spaces and other scripts."""
    before = {"a.py": b"one\ntwo\n", "gone.txt": b"x\n", "old name.py": b"1\n2\n3\n4\n5\n", "p.bin": b"\0\1"}
    after = {
        "a.py": b"one\n2\n",
        "ny/\xc3\xa5 b.py".encode("latin-1").decode(): b"",
        "new name.py": b"1\n2\n3\n4\n5\n",
        "p.bin": b"\0\2",
    }

    files = {file.path: file for file in patches.parse(git_diff(before, after, tmp_path, "-M", "--binary"))}

    assert {
        "a.py": "modified",
        "gone.txt": "deleted",
        "new name.py": "renamed",
        "ny/å b.py": "created",
        "p.bin": "modified",
    } == {path: file.kind for path, file in files.items()}
    assert (["2"], ["two"]) == (files["a.py"].added, files["a.py"].removed)
    assert "old name.py" == files["new name.py"].old_path
    assert ["p.bin"] == [path for path, file in files.items() if file.is_binary]


def test_modes_are_read_from_every_kind_of_header(tmp_path):
    """Symlinks and executables show themselves, also where no line changes."""
    (tmp_path / "x").mkdir()
    patch = git_diff({"run.sh": b"a\n"}, {"run.sh": b"a\n"}, tmp_path)
    assert [] == patches.parse(patch)

    text = (
        "diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n"
        "diff --git a/link b/link\nnew file mode 120000\nindex 0000000..2f94675\n--- /dev/null\n+++ b/link\n"
        "@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n"
    )
    run, link = patches.parse(text)

    assert ("100644", "100755") == (run.old_mode, run.new_mode)
    assert ("created", "120000", ["/etc/passwd"]) == (link.kind, link.new_mode, link.added)


@pytest.mark.parametrize(
    "text",
    [
        "hello\n",
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,9 +1 @@\n-a\n+b\n",
        "diff --git a/x b/x\nscheme: odd\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
        "diff --git a/x b/x\n--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n--- a/z\n+++ b/z\n@@ -1 +1 @@\n-a\n+b\n",
    ],
)
def test_what_is_not_a_plain_git_diff_is_refused(text):
    """No guessing: the reader and git must see the same files and lines."""
    with pytest.raises(PermanentError, match="plain git diffs"):
        patches.parse(text)


def test_tests_and_source_are_split_into_patches_that_together_are_the_whole(tmp_path):
    """Each half is a patch that can be read, and nothing is lost."""
    before = {"app/sum.py": b"def s():\n    return 1\n", "tests/test_sum.py": b"def test_a():\n    pass\n"}
    after = {
        "app/sum.py": b"def s():\n    return 2\n",
        "tests/test_sum.py": b"def test_a():\n    assert 1\n",
        "tests/test_new.py": b"def test_n():\n    assert 2\n",
    }
    whole = git_diff(before, after, tmp_path)

    tests, source = patches.split(whole)

    assert ["app/sum.py"] == [file.path for file in patches.parse(source)]
    assert {"tests/test_sum.py", "tests/test_new.py"} == {file.path for file in patches.parse(tests)}
    assert sorted(whole.splitlines()) == sorted((tests + source).splitlines())
    assert ("", "") == patches.split("")


LINES = st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n\0"), max_size=12), max_size=6)


@settings(max_examples=40)
@given(before=LINES, after=LINES)
def test_whatever_text_a_file_holds_its_lines_come_back(before, after, tmp_path_factory):
    """Line separators of other alphabets, carriage returns and diff-like lines are text, not structure."""
    old, new = ("".join(line + "\n" for line in lines).encode() for lines in (before, after))
    patch = git_diff({"x.py": old, "y": b"y"}, {"x.py": new, "y": b"y"}, tmp_path_factory.mktemp("tree"), "--text")

    files = patches.parse(patch)

    assert len(files) == (old != new)
    for file in files:
        n_kept = len(before) - len(file.removed)
        assert n_kept == len(after) - len(file.added)
        assert set(file.added) <= set(after)
        assert set(file.removed) <= set(before)


@settings(max_examples=100)
@given(st.text(max_size=200).map(lambda text: "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n" + text))
def test_hostile_text_behind_a_patch_is_read_or_refused_never_a_crash(text):
    """The only error is ours."""
    try:
        files = patches.parse(text)
    except PermanentError:
        return
    assert ["x"] == [file.path for file in files][:1]
