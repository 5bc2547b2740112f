"""Trees are unpacked without leaving their folder, compared as files, and patches give the very same files back."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_folders import make_source

from agent.tree import Pristine, TreeError, apply_patch, remove, unpack

NAMES = st.sampled_from(
    ["a.py", "b.txt", "src/c.py", "src/deep/d.bin", "with space.txt", "ünïcode.txt", "tab\tname", "-dash", 'quo"te.txt']
)  # fmt: skip
CONTENTS = st.one_of(
    st.binary(max_size=60),
    st.lists(st.sampled_from([b"one\n", b"two\r\n", b"three", b"\n", b" \t\n", b"\x00"]), max_size=8).map(b"".join),
)
TREES = st.dictionaries(NAMES, CONTENTS, max_size=6)


def write_tree(folder: Path, files: dict[str, bytes]) -> Path:
    """The files below the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def read_tree(folder: Path) -> dict[str, bytes]:
    """All files below the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make_pristine(folder: Path, files: dict[str, bytes]) -> Pristine:
    """The comparison with a source of these files."""
    make_source(folder, dict(files))
    (folder / "pristine").mkdir()
    return Pristine(folder / "source.tar.gz", folder / "pristine")


@settings(max_examples=25)
@given(TREES, TREES)
def test_a_patch_turns_the_source_into_the_tree_byte_by_byte(before: dict[str, bytes], after: dict[str, bytes]):
    """Any names and contents: what was compared, applied to a fresh source, is the edited tree."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pristine = make_pristine(folder, before)
        patch, changed = pristine.diff(write_tree(folder / "tree", after))
        (folder / "change.patch").write_bytes(patch)
        unpack(folder / "source.tar.gz", folder / "fresh")
        if patch:
            apply_patch(folder / "fresh", folder / "change.patch")

        assert after == read_tree(folder / "fresh")
        assert {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)} == set(changed)


def test_links_and_modes_are_in_the_patch_and_pipes_are_not(tmp_path: Path):
    """A reviewer sees every link and mode; what is no file at all cannot block the reading."""
    pristine = make_pristine(tmp_path, {"run.sh": b"#!/bin/sh\n"})
    tree = write_tree(tmp_path / "tree", {"run.sh": b"#!/bin/sh\n"})
    (tree / "run.sh").chmod(0o755)
    (tree / "link").symlink_to("/etc/passwd")
    (tree / "folder").symlink_to("/etc")
    os.mkfifo(tree / "pipe")

    patch, changed = pristine.diff(tree)

    assert {"run.sh", "link", "folder"} == set(changed)
    assert b"new mode 100755" in patch
    assert 2 == patch.count(b"new file mode 120000")
    assert b"root:" not in patch


def test_a_tree_made_unreadable_or_very_deep_is_removed_all_the_same(tmp_path: Path):
    """What an agent leaves cannot stay because it does not let itself be deleted."""
    folder = tmp_path / "work"
    folder.mkdir()
    code = "import os, sys; os.chdir(sys.argv[1])\nfor _ in range(1500): os.mkdir('d' * 9); os.chdir('d' * 9)"
    subprocess.run([sys.executable, "-c", code, folder], check=True)  # longer than any path that can be named at once
    (folder / "closed").mkdir()
    (folder / "closed" / "file").write_text("x")
    (folder / "closed").chmod(0o000)
    (folder / "out").symlink_to(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")

    remove(folder)

    assert not folder.exists()
    assert (tmp_path / "kept" / "file").exists()


def _member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize(
    "members",
    [
        [_member("../x", tarfile.REGTYPE)],
        [_member("a", tarfile.SYMTYPE, "/etc")],
        [_member("a", tarfile.SYMTYPE, "../.."), _member("a/x", tarfile.REGTYPE)],
        [_member("a", tarfile.LNKTYPE, "/etc/passwd")],
        [_member("a", tarfile.CHRTYPE)],
        [_member(".git/config", tarfile.REGTYPE)],
        [_member("k", tarfile.SYMTYPE, "p/q/l/../z"), _member("p/q/l", tarfile.SYMTYPE, "../..")],
        [_member("p", tarfile.DIRTYPE), _member("a", tarfile.SYMTYPE, "p"), _member("a/x", tarfile.REGTYPE)],
        [_member("a", tarfile.REGTYPE), _member("a", tarfile.REGTYPE)],
        [_member("/x", tarfile.REGTYPE)],
    ],
    ids=[
        "above",
        "absolute link",
        "through a link",
        "hard link",
        "device",
        ".git",
        "turned later",
        "below a link",
        "twice",
        "absolute",
    ],
)
def test_a_source_that_reaches_out_is_refused(tmp_path: Path, members: list[tarfile.TarInfo]):
    """No member outside the folder, no link out of it, no device, no database of git."""
    with tarfile.open(tmp_path / "source.tar.gz", "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO())

    with pytest.raises(TreeError):
        unpack(tmp_path / "source.tar.gz", tmp_path / "tree")


def test_a_damaged_source_is_refused(tmp_path: Path):
    """Half an archive is none."""
    make_source(tmp_path, {"a": os.urandom(5000)})
    data = (tmp_path / "source.tar.gz").read_bytes()
    (tmp_path / "source.tar.gz").write_bytes(data[: len(data) // 2])

    with pytest.raises(TreeError):
        unpack(tmp_path / "source.tar.gz", tmp_path / "tree")
