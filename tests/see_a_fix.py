"""See a fix without an account or a key: `make see-fix`, or `python tests/see_a_fix.py FOLDER [--tool scripted]`.

The bundled sample is grouped; its cluster about broken CSV export is fixed by the real coding tool in the real sandbox
and proved by real test runs; the draft pull request lands at a stand-in of GitHub on loopback. Only the model's words
are written here beforehand, and the forge is ours. The page of the pull request is left in FOLDER.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from standins.forge import Forge, running_forge
from standins.forge_shown import open_issue

from soulcaster.db import read
from soulcaster.drill.model_server import MODEL_KEY, ModelRequest, Say, Turn, Use, running_model, shell
from soulcaster.settings import Settings

NAME = "mulchbook/mulchbook"
TRUE_CLUSTER = "csv-export-broken-quoting"
BROKEN = '''"""The garden book as a table for spreadsheets."""

HEADER = ["date", "plant", "note"]


def to_csv(entries):
    """CSV text with a header and one line an entry."""
    lines = [",".join(HEADER)]
    for entry in entries:
        lines.append(",".join(entry[name] for name in HEADER))
    return "\\n".join(lines) + "\\n"
'''
MENDED = '''"""The garden book as a table for spreadsheets."""

import csv
import io

HEADER = ["date", "plant", "note"]


def to_csv(entries):
    """CSV text with a header and one line an entry; quoted as RFC 4180 asks."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\\n")
    writer.writerow(HEADER)
    writer.writerows([entry[name] for name in HEADER] for entry in entries)
    return text.getvalue()
'''
OLD_TEST = """from mulchbook.export import to_csv


def test_plain_notes_are_one_line_each():
    entry = {"date": "2026-05-01", "plant": "leek", "note": "sown"}
    assert to_csv([entry]) == "date,plant,note\\n2026-05-01,leek,sown\\n"
"""
NEW_TEST = """import csv

from mulchbook.export import to_csv


def test_a_note_with_a_comma_stays_in_its_column():
    entry = {"date": "2026-05-01", "plant": "leek", "note": 'sown, watered and "fed"'}
    assert list(csv.DictReader(to_csv([entry]).splitlines())) == [entry]
"""
FILES = {
    "README.md": "# Mulchbook\nA garden book.\n",
    "pyproject.toml": '[project]\nname = "mulchbook"\nversion = "4.2.1"\n',
    "mulchbook/__init__.py": "",
    "mulchbook/export.py": BROKEN,
    "tests/test_export.py": OLD_TEST,
}
DIAGNOSIS = {
    "fixability": "fixable",
    "cause": "to_csv() in mulchbook/export.py joins fields with commas and quotes nothing, so a comma, quote or line "
    "break in a note moves everything after it into the wrong column.",
    "files": ["mulchbook/export.py"],
    "reproduction": "Export an entry whose note has a comma and read the line back with the csv module.",
    "confidence": 0.95,
}
ANSWER = {
    "change": "The table is written by Python's csv module, which quotes fields as RFC 4180 asks; plain fields look as "
    "before. A test reads back a note with a comma and quotes.",
    "addressed": ["r1", "r2", "r3", "r4", "r5"],
    "partly": ["r6"],
    "unchecked": ["Whether any spreadsheet in use expects semicolons."],
    "paraphrases": ["Notes with commas spill into other columns", "An exported file cannot be imported again"],
}
REVIEW = {"fixes_cause": True, "unrelated": False, "suspicious": False, "comment": "Uses the standard writer; small."}


def model(request: ModelRequest) -> Turn:
    """The next turn of a good engineer, told by the task and by what it has done so far."""
    if "# Task: review" in request.text:
        return _say(REVIEW)
    if "# Task: diagnose" in request.text:
        turns: list[Turn] = [_read("mulchbook/export.py"), _say(DIAGNOSIS)]
    else:
        turns = [
            _write("tests/test_export_quoting.py", NEW_TEST),
            _write("mulchbook/export.py", MENDED),
            shell("python3 -m pytest -q || true"),
            _say(ANSWER),
        ]
    return turns[min(request.n_results, len(turns) - 1)]


def see(folder: Path, tool: str) -> dict[str, Any]:
    """The job as `soulcaster fix` printed it, with `page`: the path of the pull request's page."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(_env_file=None, home=folder / "home")  # type: ignore[call-arg]  # of pydantic-settings
    with running_forge(folder) as forge, running_model(model) as server:
        forge.add_repository(NAME, FILES)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SOULCASTER_")},
            "SOULCASTER_HOME": str(settings.home),
            "SOULCASTER_AGENT_TOOL": tool,
            "SOULCASTER_AGENT_SCRIPT": str(_script(folder)),
            "SOULCASTER_AGENT_MODEL_URL": server.url,
            "SOULCASTER_GEMINI_API_KEY": MODEL_KEY,
            "SOULCASTER_EMBEDDER": "minilm",
            "MULCHBOOK_TOKEN": forge.token,
        }
        _run(environment, "demo")
        cluster_id, issues = find_cluster(settings)
        for number in issues:
            made = open_issue(forge, NAME, "CSV export", "", [], login="reporter")
            forge.issues[NAME, number] = forge.issues.pop((NAME, made))
        _run(
            environment, "repo", "add", NAME, "--mode", "draft", "--route", f"github:{NAME}",
            "--api-url", forge.url, "--clone-url", forge.clone_url(NAME), "--token-variable", "MULCHBOOK_TOKEN",
        )  # fmt: skip
        done = _run(environment, "fix", cluster_id, "--repo", NAME, "--yes", "--json")
        job: dict[str, Any] = json.loads(done.splitlines()[-1])
        page = folder / "pull-request.html"
        page.write_text(_page(forge), encoding="utf-8")
        return {**job, "page": str(page)}


def find_cluster(settings: Settings) -> tuple[str, list[int]]:
    """The cluster on show with most items of the true one, and the numbers of its GitHub issues."""
    table = Path(__file__).resolve().parent.parent / "soulcaster" / "sample" / "truth.csv"
    rows = [line.split(",") for line in table.read_text(encoding="utf-8").splitlines()]
    wanted = [external_id for _, external_id, cluster, _ in rows if cluster == TRUE_CLUSTER]
    found = read(
        settings.duckdb_path,
        lambda con: con.execute(
            "SELECT m.cluster_id::VARCHAR, list(i.external_id ORDER BY i.external_id) "
            "FROM published_memberships m JOIN items i USING (item_id) "
            "WHERE m.cluster_id IS NOT NULL AND list_contains($1, i.external_id) GROUP BY 1 ORDER BY count(*) DESC, 1",
            [wanted],
        ).fetchall(),
    )
    cluster_id, external_ids = found[0]
    return cluster_id, [int(each.split("#")[1]) for each in external_ids if each.startswith(f"{NAME}#")]


def _say(answer: dict[str, Any]) -> Say:
    return Say(f"```json\n{json.dumps(answer)}\n```")


def _read(path: str) -> Use:
    """The model reads a file, as `_write`."""
    place = f"/job/work/tree/{path}"
    return Use({"filePath": place, "file_path": place}, ("read", "read_file"))


def _write(path: str, content: str) -> Use:
    """The model writes a file; tools differ in how they call that and its fields, so both sets are there."""
    place = f"/job/work/tree/{path}"
    return Use({"filePath": place, "file_path": place, "content": content}, ("write", "write_file"))


def _script(folder: Path) -> Path:
    """The same work for the tool that only replays."""
    path = folder / "script.json"
    files = {"mulchbook/export.py": MENDED, "tests/test_export_quoting.py": NEW_TEST}
    steps = {
        "diagnose": {"answer": json.dumps(DIAGNOSIS)},
        "fix": {"files": files, "answer": json.dumps(ANSWER)},
        "repair": {"answer": json.dumps(ANSWER)},
        "review": {"answer": json.dumps(REVIEW)},
    }
    path.write_text(json.dumps(steps), encoding="utf-8")
    return path


def _run(environment: dict[str, str], *words: str) -> str:
    command = [sys.executable, "-c", "from soulcaster.cli import main; main()", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(
            f"soulcaster {' '.join(words)} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


def _page(forge: Forge) -> str:
    """The newest pull request as a page: its words, then its change. Markdown is drawn without HTML of its own."""
    pull = forge.pull_requests[-1]
    change = forge.git(NAME, "diff", f"{pull['base']['sha']}..{pull['head']['sha']}")
    words = re.sub(r"<!--.*?-->|</?(?:sub|code)>", "", pull["body"])
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(words)
    lines = "\n".join(
        f"<span class={'a' if line[:1] == '+' else 'd' if line[:1] == '-' else 'c'}>{html.escape(line)}</span>"
        for line in change.splitlines()
    )
    style = (
        "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "pre,table{background:#f6f8fa;padding:1rem;overflow:auto;border-spacing:1rem .3rem}"
        ".a{background:#dafbe1}.d{background:#ffebe9}small{color:#57606a}"
    )
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(pull['title'])}</title><style>{style}</style>"
        f"<h1>{html.escape(pull['title'])} <small>#{pull['number']}</small></h1>"
        f"<p><b>{'Draft' if pull['draft'] else 'Open'}</b> · <code>{html.escape(pull['head']['ref'])}</code> into "
        f"<code>{html.escape(pull['base']['ref'])}</code> · "
        f"{html.escape(', '.join(label['name'] for label in pull['labels']))}</p><hr>{body}<hr><pre>{lines}</pre>"
    )


def main() -> None:
    """Show it and say where the page is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tool", choices=["kilo", "gemini-cli", "scripted"], default="kilo")
    options = parser.parse_args()
    sys.stderr.write("Grouping the sample, then fixing its cluster about CSV export (a minute or two) ...\n")
    job = see(options.folder.resolve(), options.tool)
    sys.stdout.write(f"{job['status']}, {job['verdict']}: {job['reason']}\nThe pull request: {job['page']}\n")


if __name__ == "__main__":
    main()
