"""Seconds and memory of importing one table: ours, dlt's filesystem-to-DuckDB pipeline, and a bare `INSERT ... SELECT`.

Each contestant is its own process with an empty folder, started in turn; the best of `--repetitions` counts. Ours does
more work (hygiene, hashes, languages, packed payloads), the bare insert does less than anybody can. Run it alone:

    python benchmarks/import_speed.py posts.parquet --source reddit --peer-python /path/to/venv/bin/python
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = """
import sys
from pathlib import Path
from soulcaster.db import migrate
from soulcaster.ingest import import_path
from soulcaster.settings import Settings
from soulcaster.sources.tabular import ColumnMap

folder, table, source = sys.argv[1:]
settings = Settings(_env_file=None, home=Path(folder))
migrate(settings.duckdb_path)
n_rows = import_path(settings, "default", Path(table), source, ColumnMap()).seen
"""

DLT = """
import sys
from pathlib import Path
import dlt
from dlt.sources.filesystem import filesystem, read_parquet

folder, table, source = sys.argv[1:]
files = filesystem(bucket_url=Path(table).parent.as_uri(), file_glob=Path(table).name)
pipeline = dlt.pipeline(
    "import_speed",
    destination=dlt.destinations.duckdb(f"{folder}/peer.duckdb"),
    dataset_name="feedback",
    pipelines_dir=f"{folder}/pipelines",
)
pipeline.run((files | read_parquet()).with_name("posts"), primary_key="id", write_disposition="append")
n_rows = pipeline.last_trace.last_normalize_info.row_counts["posts"]
"""

BARE = """
import sys
import duckdb

folder, table, source = sys.argv[1:]
with duckdb.connect(f"{folder}/bare.duckdb") as con:
    con.execute("CREATE TABLE posts AS SELECT * FROM read_parquet($1) LIMIT 0", [table])
    con.execute("INSERT INTO posts SELECT * FROM read_parquet($1)", [table])
    n_rows = con.execute("SELECT count(*) FROM posts").fetchall()[0][0]
"""

MEASURED = """
import json, resource, time
started = time.perf_counter()
{body}
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({{
    "rows": n_rows,
    "seconds": time.perf_counter() - started,
    "cpu_seconds": usage.ru_utime + usage.ru_stime,
    "peak_mb": usage.ru_maxrss / 1024,
}}))
"""


def measure(python: str, body: str, table: Path, source: str) -> dict[str, float]:
    """Rows, wall and processor seconds (imports included) and peak resident MB of one run in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, "-c", MEASURED.format(body=body), folder, str(table.resolve()), source]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    if done.returncode:
        sys.exit(f"{command[0]} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]  # our own JSON


def can_import_dlt(python: str) -> bool:
    """Whether this Python is there and has dlt."""
    if shutil.which(python) is None:
        return False
    return subprocess.run([python, "-c", "import dlt"], capture_output=True, check=False).returncode == 0


def main() -> None:
    """Print the table; exit 1 when a `--min-ratio` to dlt is asked for and missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, help="Parquet file")
    parser.add_argument("--source", default="reddit")
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--peer-python", default=sys.executable, help="Python that can import dlt")
    parser.add_argument("--min-ratio", type=float, default=0.0, help="how many times faster than dlt we must be")
    options = parser.parse_args()
    contestants = {"soulcaster": (sys.executable, OURS), "bare DuckDB": (sys.executable, BARE)}
    if can_import_dlt(options.peer_python):
        contestants["dlt"] = (options.peer_python, DLT)
    else:
        print(f"dlt is left out: {options.peer_python} cannot import it; give --peer-python")
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for _ in range(options.repetitions):
        for name, (python, body) in contestants.items():
            runs[name].append(measure(python, body, options.table, options.source))
    best = {name: min(found, key=lambda run: run["seconds"]) for name, found in runs.items()}
    ours = best["soulcaster"]["seconds"]
    print(f"{'':14}{'rows':>9}{'seconds':>10}{'cpu s':>8}{'peak MB':>9}{'vs ours':>9}")
    for name, run in best.items():
        print(
            f"{name:14}{run['rows']:>9,.0f}{run['seconds']:>10.2f}{run['cpu_seconds']:>8.2f}{run['peak_mb']:>9.0f}"
            f"{run['seconds'] / ours:>8.2f}x"
        )
    if "dlt" in best and best["dlt"]["seconds"] / ours < options.min_ratio:
        sys.exit(1)


if __name__ == "__main__":
    main()
