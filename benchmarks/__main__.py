"""Every benchmark in turn, each in a process of its own: `python -m benchmarks --peer-python .venv-peers/bin/python`.

Needs a quiet machine: run nothing else meanwhile. Tables that need the recorded data beside the project are left out,
and said to be, when it is absent.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
_STARTS = 7


def main() -> None:
    """Print all tables; exit 1 when a script failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has the peers")
    peer = ["--peer-python", parser.parse_args().peer_python]
    table = DATA / "volume_reddit_posts_2013" / "data.parquet"
    _time_of_help()
    failed = not _run("Fixes of tiny repositories, recorded answers", ["fix_quality.py"])
    failed |= not _run("Growth of re-clustering", ["recluster_scale.py"])
    failed |= not _run("HTTP API", ["api_speed.py"])
    failed |= not _run("Screens in Chromium, 100,000 items", ["screens_speed.py"])
    if table.exists():
        failed |= not _run("Import, 84,204 rows", ["import_speed.py", str(table), *peer])
        failed |= not _run("Embedding", ["embed_speed.py"])
        failed |= not _run("Re-clustering", ["recluster_speed.py", "--n", "20000", "--dense-n", "20000", *peer])
        failed |= not _run("Quality of grouping", ["grouping_quality.py", str(DATA), *peer])
        failed |= not _run("Stability of clusters", ["grouping_stability.py", str(DATA)])
    else:
        print(f"\nThe other tables are left out: {DATA} is absent.")
    sys.exit(int(failed))


def _time_of_help() -> None:
    print("== Start of the command line", flush=True)
    seconds = []
    for _ in range(_STARTS):
        begun = time.perf_counter()
        command = [sys.executable, "-c", "from soulcaster.cli import main; main()", "--help"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
        seconds.append(time.perf_counter() - begun)
    print(f"soulcaster --help: median {statistics.median(seconds):.2f} s of {_STARTS}, slowest {max(seconds):.2f} s")


def _run(title: str, command: list[str]) -> bool:
    print(f"\n== {title}", flush=True)
    script, *arguments = command
    return subprocess.run([sys.executable, str(ROOT / "benchmarks" / script), *arguments], check=False).returncode == 0


if __name__ == "__main__":
    main()
