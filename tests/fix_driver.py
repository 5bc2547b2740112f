"""Runs jobs in children that kill themselves: `fix_driver.py SETTINGS AGENTS PLAN`, lines `JOB MOMENT` on stdin.

A moment is counted in outside effects (writes, processes, sockets, locks) that the child is about to have: at the one
named it dies, without a word to anybody. 0: it lives. Answers each line with the number of effects up to the end.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

from dying import die_at
from standins.planned_launcher import PlannedLauncher

from soulcaster.fix import follow_job
from soulcaster.publisher import checkout, pull_request
from soulcaster.settings import Settings

for _name in ("cloudpickle", "dateutil.parser", "pandas", "pyarrow"):
    importlib.import_module(_name)  # DuckDB looks for them when it first binds a parameter
LOADED = (checkout, pull_request)
"""What `fix` imports late, loaded before the fork: children die at their work, not at imports, and start quickly."""


def main() -> None:
    """Serve until standard input ends."""
    settings = Settings(**json.loads(Path(sys.argv[1]).read_text()), _env_file=None)
    for line in sys.stdin:
        job_id, moment = line.split()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            launcher = PlannedLauncher(Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text()))
            count = die_at(int(moment))
            follow_job(settings, settings.project, job_id, launcher, actor="driver", poll_seconds=0.01)
            os.write(writer, b"%d" % count[0])
            os._exit(0)
        os.close(writer)
        os.waitpid(child, 0)
        sys.stdout.write(f"{int(os.read(reader, 100) or moment)}\n")
        sys.stdout.flush()
        os.close(reader)


if __name__ == "__main__":
    main()
