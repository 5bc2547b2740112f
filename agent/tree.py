"""The working tree of a launch: unpacked from source.tar.gz, compared with it as files, patched.

The tree's own `.git` exists for the tools and is never used by us: what an agent touched there is code (fsmonitor,
hooks, filters). Our git runs on a database of our own outside the tree, with all configuration off.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

MOST_UNPACKED_BYTES = 2_000_000_000
MOST_MEMBERS = 200_000
MOST_PATCH_BYTES = 5_000_000
_GIT_SECONDS = 300

# What test runs and editors leave behind; never part of a fix, also where the repository does not ignore it.
LEFTOVERS = (
    "__pycache__/", "*.py[co]", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".tox/", ".venv/", "venv/",
    "*.egg-info/", "node_modules/", ".npm/", ".gradle/", ".DS_Store", "*.orig", "*.rej", "*.swp", ".coverage",
    "nohup.out",
)  # fmt: skip


class TreeError(Exception):
    """A source or a patch cannot be used; the message says why."""


def unpack(archive: Path, target: Path) -> None:
    """Unpack source.tar.gz into a new folder: files, folders and links that stay inside, no owner, no set-uid bit.

    Ours, not `tarfile`'s filter "data": Debian 12's Python has none yet, and it looks at a link only when it is made,
    before a later one can turn it outwards.

    Raises:
        TreeError: the archive is damaged, too large, has a `.git`, another kind of member or one outside the folder.
    """
    target.mkdir(parents=True)
    n_bytes = 0
    links: list[Path] = []
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for n_members, member in enumerate(tar, start=1):
                n_bytes += member.size
                if n_bytes > MOST_UNPACKED_BYTES or n_members > MOST_MEMBERS:
                    raise TreeError(f"The source is larger than {MOST_UNPACKED_BYTES} bytes or {MOST_MEMBERS} files.")
                path = _place(member.name, target)
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                elif member.issym():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.symlink_to(member.linkname)
                    links.append(path)
                elif member.isreg():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    _write(tar, member, path)
                else:
                    raise TreeError(f"The source has {member.name!r}, which is no file, folder or symbolic link.")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise TreeError(f"Unpacking the source failed: {type(error).__name__}: {error}.") from error
    for link in links:
        if not _is_inside(link, target):
            raise TreeError(f"The source has a link {str(link.relative_to(target))!r} that leads out of it.")
    if os.path.lexists(target / ".git"):
        raise TreeError("The source has a .git of its own; it must come without one.")


def _place(name: str, target: Path) -> Path:
    """Where a member goes: below the folder, through no link."""
    path = target / name
    parts = Path(name).parts
    passed = [target.joinpath(*parts[:length]) for length in range(1, len(parts))]
    if not parts or Path(name).is_absolute() or ".." in parts or any(place.is_symlink() for place in passed):
        raise TreeError(f"The source has {name!r}, which is not below its folder.")
    return path


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """The file of a member; a path that is there already is an error, so nothing is written through a link."""
    content = tar.extractfile(member)
    mode = 0o755 if member.mode & 0o100 else 0o644
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:  # noqa: PTH123
        shutil.copyfileobj(content or io.BytesIO(), file)


def _is_inside(link: Path, target: Path) -> bool:
    try:
        return link.resolve().is_relative_to(target.resolve())
    except (OSError, RuntimeError):  # a ring of links leads nowhere
        return True


def make_checkout(tree: Path, *, is_prepared: bool = False) -> None:
    """Give the tree a `.git` with one commit, which tools want to see; installed packages are not put into it."""
    _git(["init", "--quiet", "--initial-branch", "base"], cwd=tree)
    _describe(tree / ".git")
    _git(["add", "--all", *([] if is_prepared else ["--force"])], cwd=tree)
    _git([*_WHO, "commit", "--quiet", "--no-verify", "--allow-empty", "-m", "base"], cwd=tree)


def _describe(repository: Path) -> None:
    """Tell git, above all the tree can say: bytes as they are, and what is never part of a fix."""
    (repository / "info").mkdir(exist_ok=True)
    (repository / "info" / "exclude").write_text("\n".join(LEFTOVERS) + "\n", encoding="utf-8")
    (repository / "info" / "attributes").write_text(_AS_IS, encoding="utf-8")


def hide(tree: Path, names: frozenset[str]) -> list[str]:
    """Take every file and folder of these names (lower case) out of the tree; their paths."""
    hidden = []
    for place, folders, files in os.walk(tree):
        found = [name for name in (*folders, *files) if name.lower() in names]
        folders[:] = [name for name in folders if name not in found]
        for name in found:
            remove(Path(place) / name)
            hidden.append(str((Path(place) / name).relative_to(tree)))
    return sorted(hidden)


class Pristine:
    """The source as it came, but what is `hidden`, in a git database outside every tree; tells what a tree changed."""

    def __init__(self, archive: Path, folder: Path, hidden: frozenset[str] = frozenset()) -> None:
        self._repository = folder / "pristine.git"
        self._after = folder / "after"
        base = folder / "base"
        unpack(archive, base)
        hide(base, hidden)
        _git(["init", "--quiet", "--bare", str(self._repository)], cwd=folder)
        _describe(self._repository)
        self._known_folders = {str(path.relative_to(base)) for path in base.rglob("*") if path.is_dir()}
        self._run(["add", "--all", "--force", "."], base)
        self._run([*_WHO, "commit", "--quiet", "--no-verify", "--allow-empty", "-m", "base"], base)
        remove(base)

    def accept(self, tree: Path) -> None:
        """Take the tree as it is now for the source from here on: what a set-up command left is no change."""
        self._stage(tree)
        self._run([*_WHO, "commit", "--quiet", "--no-verify", "--allow-empty", "-m", "prepared"], self._after)
        remove(self._after)

    def diff(self, tree: Path) -> tuple[bytes, list[str]]:
        """The tree against the source as a unified patch that `git apply` takes, and the changed paths.

        Files that the repository ignores, and what test runs leave behind, are no change unless the source had them.

        Raises:
            TreeError: the patch is larger than MOST_PATCH_BYTES, or the tree cannot be read.
        """
        try:
            self._stage(tree)
            patch = self._run([*_DIFF, "--binary", "--full-index", "HEAD"], self._after)
            names = self._run([*_DIFF, "--name-only", "-z", "HEAD"], self._after)
        except OSError as error:
            raise TreeError(f"Reading the edited tree failed: {type(error).__name__}: {error}.") from error
        finally:
            remove(self._after)
        if len(patch) > MOST_PATCH_BYTES:
            raise TreeError(f"The patch has {len(patch)} bytes, at most {MOST_PATCH_BYTES} are taken.")
        return patch, [name.decode("utf-8", "replace") for name in names.split(b"\0") if name]

    def _stage(self, tree: Path) -> None:
        remove(self._after)
        _copy_files(tree, self._after, self._known_folders)
        self._run(["read-tree", "HEAD"], self._after)
        self._run(["add", "--all", "."], self._after)

    def _run(self, words: list[str], work_tree: Path) -> bytes:
        return _git([f"--git-dir={self._repository}", f"--work-tree={work_tree}", *words], cwd=work_tree)


def copy_folder(source: Path, target: Path) -> None:
    """A copy of a folder with links, modes and times as they are; what stood at the target is gone.

    Raises:
        TreeError: it cannot be copied.
    """
    remove(target)
    done = subprocess.run(
        ["cp", "-a", "--reflink=auto", "--", str(source), str(target)], capture_output=True, check=False
    )
    if done.returncode != 0:
        raise TreeError(f"Copying {source.name} failed: {done.stderr.decode('utf-8', 'replace').strip()[-300:]}")


def apply_patch(tree: Path, patch: Path) -> None:
    """Apply a patch strictly to a tree without `.git`; all of it or nothing.

    Raises:
        TreeError: it does not apply; says where.
    """
    try:
        _git(["apply", "--whitespace=nowarn", str(patch.resolve())], cwd=tree)
    except TreeError as error:
        raise TreeError(f"{patch.name} does not apply: {error}") from error


def remove(path: Path) -> None:
    """Delete a folder with all that is in it, however deep and also what was made unreadable; no link is followed."""
    if not os.path.lexists(path):
        return
    if not path.is_symlink() and path.is_dir():
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(path)], capture_output=True, check=False)
    done = subprocess.run(["rm", "-rf", "--", str(path)], capture_output=True, check=False)
    if done.returncode != 0:
        raise OSError(f"rm ended with {done.returncode}: {done.stderr.decode('utf-8', 'replace').strip()[-300:]}")


def _copy_files(source: Path, target: Path, known_folders: set[str]) -> None:
    """Copy files and links, not devices, not pipes, and nothing named `.git`: a nested one would become a submodule."""
    n_bytes = n_files = 0
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        (target / folder).mkdir(parents=True)
        for entry in os.scandir(source / folder):
            n_files += 1
            inner = f"{folder}/{entry.name}" if folder else entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name.lower() == ".git" or (
                is_folder and f"{entry.name}/" in LEFTOVERS and inner not in known_folders
            ):
                continue
            if is_folder:
                waiting.append(inner)
            elif entry.is_symlink():
                (target / inner).symlink_to(Path(entry.path).readlink())
            elif entry.is_file(follow_symlinks=False):
                n_bytes += entry.stat(follow_symlinks=False).st_size
                shutil.copy2(entry.path, target / inner, follow_symlinks=False)
            if n_bytes > MOST_UNPACKED_BYTES or n_files > MOST_MEMBERS:
                raise TreeError(f"The edited tree is larger than {MOST_UNPACKED_BYTES} bytes or {MOST_MEMBERS} files.")


# Bytes as they are: no attribute of the repository may change lines, encodings or what counts as text.
_AS_IS = "* -text -ident -filter -working-tree-encoding !eol !diff !merge\n"
_WHO = ["-c", "user.name=agent", "-c", "user.email=agent@localhost"]
_DIFF = [
    "diff", "--cached", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-color",
    "--src-prefix=a/", "--dst-prefix=b/",
]  # fmt: skip
_QUIET = {
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.symlinks": "true",
    "core.fileMode": "true",
    "core.quotePath": "true",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "commit.gpgSign": "false",
    "gc.auto": "0",
    "protocol.allow": "never",
    "advice.addEmbeddedRepo": "false",
}


def _git(words: list[str], *, cwd: Path) -> bytes:
    """Standard output of git run without any configuration but ours.

    Raises:
        TreeError: git ended with another code than 0; carries the end of what it said.
    """
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CEILING_DIRECTORIES": str(cwd.parent),
        "GIT_CONFIG_COUNT": str(len(_QUIET)),
    }
    for index, (name, value) in enumerate(_QUIET.items()):
        env[f"GIT_CONFIG_KEY_{index}"] = name
        env[f"GIT_CONFIG_VALUE_{index}"] = value
    try:
        done = subprocess.run(
            ["git", *words], cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=_GIT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TreeError(f"git {words[-1]} took longer than {_GIT_SECONDS} s.") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise TreeError(f"git ended with {done.returncode}: {said}")
    return done.stdout
