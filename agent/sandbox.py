"""The bubblewrap sandbox of a launch on this machine: its command line, and the probe that says whether it works here.

Inside: programs and certificates read-only, the job folder, nothing else of the machine; its own processes; no network
but its own loopback, except while dependencies are set up. Nobody in there is root: root's own files would be in reach.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

UID = 10001  # the user of the container image as well
FOLDER, SOCKET, CODE, TOOLS = "/job", "/run/gateway.sock", "/opt/soulcaster", "/opt/tools"
_PROBE_SECONDS = 20
_MEMORY_BYTES = 512 * 1024 * 1024
_ETC = (
    "passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl", "pki",
    "ca-certificates", "localtime", "timezone", "mime.types", "java-17-openjdk", "java-21-openjdk",
)  # fmt: skip
_ETC_OF_NETWORK = ("resolv.conf", "hosts", "host.conf", "services", "protocols", "pip.conf")


@dataclass(frozen=True)
class Binding:
    """What of this machine a sandbox sees. `secret_folder` is hidden again, `read_only` files of it cannot change."""

    folder: Path
    secret_folder: Path
    tools: Path
    read_only: tuple[str, ...] = ()
    socket: Path | None = None
    has_network: bool = False


def wrap(binding: Binding, environment: dict[str, str], command: Sequence[str]) -> list[str]:
    """The command line that runs `command` inside, as an ordinary user, with that environment and no other."""
    is_root = os.geteuid() == 0
    words = ["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"]
    # Root needs no user namespace and could not change to another user inside one.
    words += (
        ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if is_root else ["--unshare-user"]
    )
    words += [] if binding.has_network else ["--unshare-net"]
    words += ["--die-with-parent", "--new-session", "--clearenv", "--hostname", "sandbox"]
    words += _system(has_network=binding.has_network)
    for path in _program_folders():
        words += [*_parents(path), "--ro-bind", str(path), str(path)]
    words += [*_parents(Path(CODE) / "agent"), "--ro-bind", str(Path(__file__).parent), f"{CODE}/agent"]
    if binding.tools.is_dir():
        words += ["--ro-bind", str(binding.tools), TOOLS]
    words += ["--bind", str(binding.folder), FOLDER, "--tmpfs", f"{FOLDER}/{binding.secret_folder.name}"]
    for name in binding.read_only:
        words += ["--ro-bind", str(binding.folder / name), f"{FOLDER}/{name}"]
    if binding.socket is not None:
        words += ["--bind", str(binding.socket), SOCKET]
    for name, value in environment.items():
        words += ["--setenv", name, value]
    words += ["--chdir", FOLDER, "--"]
    if is_root:
        words += ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs", "--inh-caps=-all"]
    return [*words, *command]


def program_path() -> str:
    """The PATH inside: our interpreter's folder first, so that `python` is this one."""
    folders = [str(Path(sys.executable).parent), *(str(path / "bin") for path in toolchains())]
    node = shutil.which("node")
    folders += [str(Path(node).resolve().parent)] if node else []
    folders += ["/usr/local/bin", "/usr/bin", "/bin"]
    return ":".join(dict.fromkeys(folders))


@cache
def toolchains() -> tuple[Path, ...]:
    """Folders of the Rust and Go toolchains themselves.

    Not the homes of rustup and cargo around them: tokens of registries lie there, and their programs look for a home.
    """
    found = []
    for words in (("rustc", "--print", "sysroot"), ("go", "env", "GOROOT")):
        if shutil.which(words[0]) is None:
            continue
        done = subprocess.run(words, capture_output=True, check=False, timeout=_PROBE_SECONDS, text=True, cwd="/")
        place = Path(done.stdout.strip() or ".")
        if done.returncode == 0 and place.is_absolute() and (place / "bin").is_dir():
            found.append(place.resolve())
    return tuple(found)


def _system(*, has_network: bool) -> list[str]:
    words = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/") / name
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    words += ["--perms", "0755", "--dir", "/etc"]
    for name in (*_ETC, *(_ETC_OF_NETWORK if has_network else ())):
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/tmp", "/run", "/dev/shm"):  # noqa: S108  mounted inside the sandbox, empty
        words += ["--perms", "1777", "--size", str(_MEMORY_BYTES), "--tmpfs", folder]
    return words


def _parents(path: Path) -> list[str]:
    """Make the folders above a binding readable for the user inside; left to itself bubblewrap closes them."""
    words = []
    for folder in list(path.parents)[-2::-1]:
        words += ["--perms", "0755", "--dir", str(folder)]
    return words


def _program_folders() -> list[Path]:
    """Where interpreter, node and toolchains lie, when not below /usr; never a home folder or what holds one."""
    node = shutil.which("node")
    wanted = [Path(sys.prefix), Path(sys.base_prefix), *toolchains()]
    wanted += [Path(node).resolve().parent.parent] if node else []
    home = Path.home().resolve()
    folders = []
    for path in dict.fromkeys(folder.resolve() for folder in wanted):
        if path.is_relative_to("/usr") or home.is_relative_to(path):
            continue
        folders.append(path)
    return folders


def probe(folder: Path) -> str:
    """Empty when a sandbox like that of a launch works here, else one sentence why not."""
    for program in ("bwrap", "setpriv"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    hidden = folder / "launch"
    hidden.mkdir(exist_ok=True)
    folder.chmod(0o755)
    binding = Binding(folder, hidden, folder / "no-tools")
    code = (
        "import os, sys, agent.schemas\n"
        "sys.exit(0 if os.getuid() and os.access('/etc', os.R_OK) and not os.path.exists('/etc/shadow') else 3)"
    )
    environment = {"PATH": program_path(), "PYTHONPATH": CODE}
    command = wrap(binding, environment, [sys.executable, "-s", "-P", "-c", code])
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=_PROBE_SECONDS, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return f"bubblewrap did not end within {_PROBE_SECONDS} s"
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().replace("\n", "; ")[-300:]
        return f"bubblewrap ended with {done.returncode}: {said}"
    return ""


def run(words: list[str]) -> int:
    """`probe FOLDER`: 0 and nothing when a sandbox works here, else 1 and why not."""
    reason = probe(Path(words[0]))
    print(reason, flush=True)  # noqa: T201  the answer
    return 1 if reason else 0
