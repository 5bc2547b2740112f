"""The base of a repository in the cache and as an archive: exact bytes, no way out of the folder, no secret on disk."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from publisher.conftest import FILES, NAME
from standins.forge import Token
from standins.wire_server import Answer

from soulcaster.errors import PermanentError, TransientError
from soulcaster.publisher import git
from soulcaster.publisher.checkout import LeftOut, fetch_base, find_link_objection, find_objection, make_source


def names(archive: Path) -> dict[str, str]:
    """Path to text or link target."""
    with tarfile.open(archive) as opened:
        return {
            entry.name: entry.linkname if entry.issym() else opened.extractfile(entry).read().decode()
            for entry in opened
        }


def test_the_archive_holds_the_tree_of_the_base_branch(forge, repository, credentials, cache, tmp_path):
    """Every file byte for byte, also what attributes hide from archives or would rewrite."""
    forge.push(NAME, "main", {".gitattributes": "*.md export-ignore\n*.txt eol=crlf\n", "a.txt": "one\ntwo\n"})

    commit = fetch_base(repository, credentials, cache)
    left_out = make_source(repository, commit, cache, tmp_path / "source.tar.gz")

    assert forge.branches(NAME)["main"] == commit
    assert [] == left_out
    expected = FILES | {".gitattributes": "*.md export-ignore\n*.txt eol=crlf\n", "a.txt": "one\ntwo\n"}
    assert expected == names(tmp_path / "source.tar.gz")


def test_the_same_commit_gives_the_same_bytes(repository, credentials, cache, tmp_path):
    """Two archives of one commit are equal, so that a hash of the input means something."""
    commit = fetch_base(repository, credentials, cache)

    for name in ("one.tar.gz", "two.tar.gz"):
        make_source(repository, commit, cache, tmp_path / name)

    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()


def test_links_that_leave_and_submodules_are_left_out_and_named(forge, repository, credentials, cache, tmp_path):
    """What could lead out of the folder never gets into the archive."""
    tree = [
        ("120000", "inside", "notes.py"),
        ("120000", "deep/up", "../notes.py"),
        ("120000", "outside", "../../etc/passwd"),
        ("120000", "absolute", "/etc/passwd"),
        ("120000", "climbs", "d/../../x"),
    ]
    lines = [
        f"{mode} {forge.git(NAME, 'hash-object', '-w', '--stdin', stdin=text.encode())}\t{path}"
        for mode, path, text in tree
    ]
    lines.append(f"160000 {forge.branches(NAME)['main']}\tvendored")
    commit_tree(forge, lines)

    left_out = make_source(repository, fetch_base(repository, credentials, cache), cache, tmp_path / "s.tar.gz")

    assert {"inside": "notes.py", "deep/up": "../notes.py"} == {
        name: text for name, text in names(tmp_path / "s.tar.gz").items() if name not in FILES
    }
    assert {"outside", "absolute", "climbs", "vendored"} == {entry.path for entry in left_out}
    assert LeftOut("vendored", "submodule") in left_out


def commit_tree(forge, lines: list[str]) -> None:
    """Main gets these entries on top of its own."""
    index = {"GIT_INDEX_FILE": str(forge.folder / "index")}
    forge._git(NAME, index, "read-tree", "main")
    for line in lines:
        head, path = line.split("\t")
        mode, sha = head.split(" ")
        forge._git(NAME, index, "update-index", "--add", "--cacheinfo", f"{mode},{sha},{path}")
    tree = forge._git(NAME, index, "write-tree")
    made = forge.git(NAME, "-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", tree, "-p", "main", "-m", "x")
    forge.git(NAME, "update-ref", "refs/heads/main", made)


@pytest.mark.parametrize(
    ("path", "target", "is_fine"),
    [
        ("a", "b", True), ("a/b", "../c", True), ("a", ".", True), ("a", "./b/./c", True),
        ("a", "..", False), ("a/b", "../..", False), ("a", "b/..", False), ("a", "/b", False), ("a", "", False),
        ("a", ".git/config", False), ("a/b", "../.GIT/hooks", False),
    ],
)  # fmt: skip
def test_a_link_may_not_climb(path, target, is_fine):
    """Only links that cannot leave the tree by any chain."""
    assert is_fine == (find_link_objection(path, target) == "")


@pytest.mark.parametrize(
    "path", ["../x", "a/../b", "/etc/x", ".git/config", "a/.GIT/x", ".git./x", "git~1/x", "a\\b", "a\nb"]
)
def test_odd_paths_are_objected_to(path):
    """Nothing that a disk could read as another place."""
    assert find_objection(path)


def test_the_token_is_in_no_file_and_in_no_argument(forge, repository, credentials, cache):
    """Neither the cache nor the command line of any git holds it."""
    seen: list[str] = []

    def look(_request: object) -> None:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(entry.read_bytes().decode(errors="replace"))
            except OSError:
                continue

    forge.on_request = look
    fetch_base(repository, credentials, cache)

    assert any("fetch" in line for line in seen)
    secret = forge.token.encode()
    assert not any(forge.token in line for line in seen)
    assert not any(secret in path.read_bytes() for path in cache.rglob("*") if path.is_file())


def test_configuration_of_the_machine_is_not_read(forge, repository, credentials, cache, tmp_path, monkeypatch):
    """A hook, an alias, a rewritten address, a trace file in the user's configuration: none takes effect."""
    home = tmp_path / "person"
    (home / "hooks").mkdir(parents=True)
    (home / ".gitconfig").write_text(
        f'[core]\n\thooksPath = {home}/hooks\n\tfsmonitor = "touch {home}/ran"\n'
        f'[url "http://127.0.0.1:1/"]\n\tinsteadOf = {forge.url}/\n'
    )
    for name, value in {"HOME": str(home), "GIT_TRACE_CURL": str(home / "trace"), "GIT_DIR": "/nowhere"}.items():
        monkeypatch.setenv(name, value)

    assert forge.branches(NAME)["main"] == fetch_base(repository, credentials, cache)
    assert {".gitconfig", "hooks"} == {entry.name for entry in home.iterdir()}


def test_a_wrong_token_and_a_missing_branch_are_told_apart(forge, repository, credentials, cache):
    """Each refusal says what a person has to do, and never asks for a password."""
    forge.tokens.clear()
    with pytest.raises(PermanentError, match="token is wrong"):
        fetch_base(repository, credentials, cache)

    forge.tokens[forge.token] = Token("robot")
    with pytest.raises(PermanentError, match="missing"):
        fetch_base(repository.model_copy(update={"base_branch": "missing"}), credentials, cache)


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_forge_that_is_away_is_asked_again_later(forge, repository, credentials, cache, status):
    """An answer of the server's own trouble is no reason to give up."""
    forge.failures = [Answer(status, {"message": "busy"})]

    with pytest.raises(TransientError):
        fetch_base(repository, credentials, cache)


def test_a_redirect_is_not_followed_with_the_token(forge, repository, credentials, cache):
    """A renamed repository is a person's business: the token goes to the address that was configured, no other."""
    forge.failures = [Answer(301, raw=b"", headers={"Location": "http://127.0.0.1:1/elsewhere.git/info/refs"})]

    with pytest.raises(PermanentError):
        fetch_base(repository, credentials, cache)


def test_only_https_and_loopback_are_spoken(repository, credentials, cache, tmp_path):
    """A clone address that would run a program or read a disk is refused."""
    for url in ("ext::sh -c touch% x", str(tmp_path), "ssh://host/x", "file:///etc"):
        with pytest.raises(PermanentError, match="refused"):
            fetch_base(repository.model_copy(update={"clone_url": url}), credentials, cache)


def test_two_processes_share_the_cache(forge, repository, cache):
    """Several that fetch and pack at once wait for one another, and all get the same commit."""
    code = (
        "import sys; from pathlib import Path; from soulcaster.fix_models import Repository;"
        "from soulcaster.publisher.credentials import for_repository; from soulcaster.publisher.checkout import *;"
        "r = Repository.model_validate_json(sys.argv[1]); c = for_repository(r); p = Path(sys.argv[2]);"
        "n = fetch_base(r, c, p); make_source(r, n, p, p / (sys.argv[3] + '.tar.gz')); print(n)"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, repository.model_dump_json(), str(cache), str(i)],
            stdout=subprocess.PIPE, env=dict(os.environ), text=True,
        )
        for i in range(4)
    ]  # fmt: skip

    assert {forge.branches(NAME)["main"]} == {process.communicate(timeout=120)[0].strip() for process in running}
    assert 1 == len({path.read_bytes() for path in cache.glob("*.tar.gz")})


def test_who_waits_too_long_for_the_cache_is_told_to_come_back(repository, cache):
    """A cache held by somebody is no error of the job."""
    with (
        git.locked(cache, repository),
        pytest.raises(TransientError, match="busy"),
        git.locked(cache, repository, timeout_seconds=0.1),
    ):
        pass


def test_locks_of_a_killed_git_are_cleared_away(repository, credentials, cache):
    """What a dead process left locked does not block the next."""
    commit = fetch_base(repository, credentials, cache)
    (folder,) = cache.glob("*.git")
    (folder / "shallow.lock").write_text("")
    (folder / "refs/soulcaster/base/main.lock").write_text("")

    assert commit == fetch_base(repository, credentials, cache)
