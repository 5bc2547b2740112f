"""Write the store that an older version made, and what its user saw, for `tests/db/test_upgrades.py`.

    python tests/upgrades/make_store.py CHECKOUT NAME

CHECKOUT is a worktree of the older commit; its own command line does everything, so the file is what a user of that
version had on disk. Run it once for each version that people may have; the two files it writes are kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import zstandard

HERE = Path(__file__).parent
# The command line of the version under that folder, not of the one that is installed.
RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from soulcaster.cli import app; app()"


def make(checkout: Path, name: str) -> None:
    """The sample's issues and texts, grouped; two clusters merged, an item taken out, a source configured."""
    with tempfile.TemporaryDirectory() as home:

        def say(*words: str) -> Any:
            done = subprocess.run(
                [sys.executable, "-c", RUN, str(checkout), *words, "--json"],
                env={"PATH": os.environ["PATH"], "SOULCASTER_HOME": home, "SOULCASTER_EMBEDDER": "static"},
                cwd=home,
                check=True,
                capture_output=True,
                text=True,
            )
            return json.loads(done.stdout.splitlines()[-1])

        sample = checkout / "soulcaster" / "sample"
        say("import", str(sample / "manual.csv"), "--source", "manual", *_columns(sample / "manual.csv"))
        say("import", str(sample / "github"), "--source", "github")
        say("recluster")
        first, second = (cluster["cluster_id"] for cluster in say("clusters")["clusters"][:2])
        say("merge", first, second, "--reason", "one problem")
        say("source", "add", "github:mulchbook/mulchbook")
        out = Path(home, "items.jsonl")
        say("export", "items", "-o", str(out))
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        clusters = say("clusters", "--limit", "500")["clusters"]
        seen = {
            "clusters": {row["cluster_id"]: row["title"] for row in clusters},
            "items": {row["item_id"]: row["cluster_id"] for row in rows},
        }
        (HERE / f"{name}.json").write_text(json.dumps(seen, indent=0, sort_keys=True) + "\n")
        store = Path(home, "soulcaster.duckdb").read_bytes()
        (HERE / f"{name}.duckdb.zst").write_bytes(zstandard.compress(store, 19))


def _columns(table: Path) -> list[str]:
    header = table.read_text().splitlines()[0].split(",")
    return [word for name in header if name in {"id", "text"} for word in (f"--{name}-column", name)]


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2])
