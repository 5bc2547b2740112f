"""Brings jobs to their end while its agents are killed: `agents_driver.py SETTINGS CLUSTERS N_KILLS SEED`.

`agent` is a copy here that dies where `dying` says. Prints one JSON object: kills by entry, and the ids of the jobs.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from soulcaster import fix
from soulcaster.fix_models import FINAL_STATUSES
from soulcaster.launching import make_launcher
from soulcaster.settings import Settings

AT_ONCE = 3
MOMENTS = {"supervise": 20, "edit": 80, "verify": 55}
"""Effects that each entry has at least; a trap beyond its last one would wait for ever."""


def main() -> None:
    """Start jobs while kills are due, then bring all to their end."""
    settings = Settings(**json.loads(Path(sys.argv[1]).read_text()), _env_file=None)
    clusters, n_kills = json.loads(sys.argv[2]), int(sys.argv[3])
    moments = random.Random(int(sys.argv[4]))  # noqa: S311  seeded on purpose
    spec = find_spec("agent")
    assert spec
    assert spec.origin
    place = Path(spec.origin).parent
    launcher = make_launcher(settings)
    ids, n_open, n_set = [], 0, 0
    while n_open or len(list(place.glob("fallen-*"))) < n_kills:
        # One for the holder and one for what it holds: most launches meet a trap.
        for entries in (("supervise",), ("edit", "verify")):
            if n_set < n_kills and not any((place / f"trap-{entry}").exists() for entry in entries):
                entry = moments.choice(entries)
                draft = place / "new-trap"
                draft.write_text(str(moments.randint(1, MOMENTS[entry])))
                draft.rename(place / f"trap-{entry}")
                n_set += 1
        while n_open < AT_ONCE and len(list(place.glob("fallen-*"))) < n_kills:
            ids.append(fix.start(settings, settings.project, clusters.pop(), actor="ann").job_id)
            n_open += 1
        found = fix.reconcile(settings, settings.project, launcher)
        n_open = sum(job.status not in FINAL_STATUSES for job in found)
        time.sleep(0.02)
    fallen = Counter(path.name.split("-")[2] for path in place.glob("fallen-*"))
    sys.stdout.write(json.dumps({"fallen": fallen, "jobs": ids}))


if __name__ == "__main__":
    main()
