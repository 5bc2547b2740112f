"""The install steps of both images, run for real in a clean Debian made by debootstrap: no engine builds here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from job_folders import make_edit, read_report

ROOT = Path(__file__).resolve().parents[2]
MACHINE_FILES = ("etc/npmrc", "etc/pip.conf", "usr/local/share/ca-certificates")
"""How this machine reaches its registries: what an image's builder would be given by its own network."""
SECRET = "canary-5d1e"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        shutil.which("debootstrap") is None or shutil.which("bwrap") is None,
        reason="no debootstrap or bubblewrap on this machine; on Debian: apt install debootstrap bubblewrap",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="making a root for Debian takes root"),
    pytest.mark.skipif(not os.environ.get("CONTAINERS"), reason="two systems are installed: `make containers` does it"),
]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clean Debian 13, as the images' base is, from the mirror that this machine's apt uses."""
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"]
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")
    mirror = next(line.split()[0] for line in listed if line and "-" not in line.split()[1])
    folder = tmp_path_factory.mktemp("debian")
    root = folder / "root"
    subprocess.run(["debootstrap", "--variant=minbase", "trixie", root, mirror], capture_output=True, check=True)
    # As Debian's own container images have it: a build that is cut off is thrown away, nothing has to be synced.
    (root / "etc" / "dpkg" / "dpkg.cfg.d" / "speed").write_text("force-unsafe-io\n")
    for name in MACHINE_FILES:
        source, target = Path("/") / name, root / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.is_file():
            shutil.copy2(source, target)
    yield root
    subprocess.run(["rm", "-rf", folder], check=True)


@pytest.fixture
def clean(debian: Path) -> Iterator[Path]:
    """A copy of it, gone afterwards."""
    root = debian.with_name("copy")
    subprocess.run(["cp", "-a", debian, root], check=True)
    yield root
    subprocess.run(["rm", "-rf", root], check=True)


def run_steps(root: Path, script: str) -> None:
    """Run a script of that root as root, as an image's RUN does; mounts are gone with the process."""
    inside = (
        'mount --bind /proc "$0/proc" && mount --bind /dev "$0/dev" && cp /etc/resolv.conf "$0/etc/resolv.conf" && '
    )
    inside += 'exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root '
    inside += 'NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt "$1"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", inside, str(root), script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout[-3000:] + done.stderr[-3000:]


def run_inside(root: Path, recipe: str, words: list[str], *binds: str) -> subprocess.CompletedProcess[str]:
    """A command as the recipe's user on a read-only root, with the recipe's environment and no network."""
    text = re.sub(r"\\\n\s*", "", (ROOT / recipe).read_text())
    command = ["bwrap", "--unshare-all", "--uid", "10001", "--gid", "10001", "--cap-drop", "ALL", "--die-with-parent"]
    command += ["--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev"]
    command += ["--tmpfs", "/tmp", "--tmpfs", "/run", *binds]  # noqa: S108  of the sandbox
    command += ["--clearenv", "--setenv", "PATH", "/usr/bin:/bin"]
    for pair in re.findall(r"(?m)^ENV (.*)$", text)[0].split():
        command += ["--setenv", *pair.split("=", 1)]
    return subprocess.run([*command, "--", *words], capture_output=True, text=True, check=False, timeout=300)


def entry(recipe: str) -> list[str]:
    """The recipe's entry."""
    found: list[str] = json.loads(re.findall(r"(?m)^ENTRYPOINT (.*)$", (ROOT / recipe).read_text())[0])
    return found


def tracked(*names: str) -> list[str]:
    """Files of the checkout below these names, without what git ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *names]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in said.stdout.split("\0") if name and (ROOT / name).is_file()]


def put(root: Path, target: str, names: list[str]) -> None:
    """Files of the checkout, below a folder of the root."""
    for name in names:
        path = root / target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, path)


def test_the_agents_steps_make_a_root_in_which_it_mends_a_file(clean: Path, tmp_path: Path):
    """After agent.sh the pinned tools start and the entry edits, as a user without rights, on a read-only root."""
    recipe, tools = "agent/Containerfile", clean / "opt" / "tools"
    tools.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy2(ROOT / "infra" / "tools" / name, tools / name)
    put(clean, "opt", ["infra/containers/agent.sh"])
    run_steps(clean, "/opt/infra/containers/agent.sh")
    put(clean, "opt/soulcaster", tracked("agent"))

    folder = make_edit(tmp_path / "job", {"a.py": "a = 1\n"}, {"fix": {"files": {"a.py": "a = 2\n"}}})
    job = ["--bind", str(folder), "/job"]
    done = run_inside(clean, recipe, [*entry(recipe), "edit", "/job"], *job)
    versions = {
        name: run_inside(clean, recipe, [f"/opt/tools/node_modules/.bin/{name}", "--version"], *job)
        for name in ("kilo", "gemini")
    }

    assert 0 == done.returncode, done.stderr
    report = read_report(folder)
    assert ("done", "container", ["a.py"]) == (report["status"], report["sandbox"], report["files_changed"])
    assert {"kilo": "7.7.7", "gemini": "0.61.0"} == {name: said.stdout.strip() for name, said in versions.items()}
    assert 10001 == (clean / "job").stat().st_uid
    assert not list((clean / "var" / "lib" / "apt" / "lists").glob("*_*")), "package lists are left in the image"


def test_soulcasters_steps_make_a_root_in_which_it_groups_the_sample(clean: Path, tmp_path: Path):
    """After app.sh the entry reads secrets from files and runs the whole pipeline, on a read-only root."""
    recipe = "infra/containers/app.Containerfile"
    taken = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    put(clean, "opt/soulcaster", tracked(*taken))
    run_steps(clean, "/opt/soulcaster/infra/containers/app.sh")

    data, secrets = tmp_path / "data", tmp_path / "secrets"
    data.mkdir()
    secrets.mkdir()
    (secrets / "SOULCASTER_RECEIVER_TOKEN").write_text(SECRET)
    (secrets / "SOULCASTER_METRICS_TOKEN").write_text("")
    binds = ["--bind", str(data), "/data", "--ro-bind", str(secrets), "/run/secrets", "--chdir", "/opt/soulcaster"]
    code = "from soulcaster.settings import load_settings as load; s = load(); "
    code += "print(s.receiver_token.get_secret_value(), s.metrics_token, s.home)"
    said = run_inside(clean, recipe, [*entry(recipe), "python", "-c", code], *binds)
    demo = run_inside(clean, recipe, [*entry(recipe), "soulcaster", "demo"], *binds)
    (secrets / "not a variable").write_text("x")
    refused = run_inside(clean, recipe, [*entry(recipe), "soulcaster", "--help"], *binds)

    assert (f"{SECRET} None /data\n", 0) == (said.stdout, said.returncode), said.stderr
    assert 0 == demo.returncode, demo.stderr
    assert (data / "soulcaster.duckdb").is_file()
    assert re.search(r"(?m)^n_clusters +[1-9]\d+$", demo.stdout), demo.stdout
    assert 1 == refused.returncode
    assert "expected the name of a variable" in refused.stderr
