"""Runs jobs in children that can be killed: `fix_driver.py SETTINGS AGENTS PLAN`, a job id a line on standard input.

Answers each line with the child's process id at once, and with `done` when the child has ended, however it did.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from standins.planned_launcher import PlannedLauncher

from soulcaster.fix import follow_job
from soulcaster.publisher import checkout, pull_request
from soulcaster.settings import Settings

LOADED = (checkout, pull_request)
"""What `fix` imports late, loaded before the fork: children die at their work, not at imports."""


def main() -> None:
    """Serve until standard input ends."""
    settings = Settings(**json.loads(Path(sys.argv[1]).read_text()), _env_file=None)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            launcher = PlannedLauncher(Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text()))
            follow_job(settings, settings.project, line.strip(), launcher, actor="driver", poll_seconds=0.01)
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        os.waitpid(child, 0)
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
