"""Write the secrets of compose.yaml as files, from one JSON object on standard input: variables and their values.

Files are readable by the containers' user alone, and replaced whole. What no service is given by name goes to
`worker/`: tokens of sources and repositories. A secret of compose.yaml that the object lacks becomes an empty file,
which counts as not set.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

USER = 10001


def main(folder: Path) -> int:
    """Exit code 0 when all files are written, else 1 with one sentence; prints names, never a value."""
    try:
        values = dict(json.load(sys.stdin).items())
    except (ValueError, AttributeError):
        sys.stderr.write("Writing secrets failed: expected one JSON object on standard input.\n")
        return 1
    wrong = [
        name
        for name, value in values.items()
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name) or not isinstance(value, str)
    ]
    if wrong:
        sys.stderr.write(f"Writing secrets failed: expected names of variables and texts, got {wrong!r}.\n")
        return 1
    named = re.findall(r"(?m)^  (\w+): \{file: secrets/", (folder / "compose.yaml").read_text())
    for name in named:
        write(folder / "secrets" / name, values.get(name, ""))
    for name in sorted(set(values) - set(named)):
        write(folder / "secrets" / "worker" / name, values[name])
    (folder / "secrets" / "worker").mkdir(exist_ok=True)
    empty = [name for name in named if not values.get(name)]
    sys.stdout.write(f"{len(values)} secrets written; not set: {', '.join(empty) or 'none'}\n")
    return 0


def write(path: Path, value: str) -> None:
    """Replace the file; nobody else can read it, at no moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o755)
    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        if os.geteuid() == 0:
            os.fchown(file.fileno(), USER, USER)
        file.write(value)
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
