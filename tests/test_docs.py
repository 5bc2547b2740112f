"""What the pages say is there, is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("**/*.md"), *(ROOT / "infra").glob("**/README.md")])
FOLDERS = "tests|soulcaster|app|flows|tasks|agent|infra|benchmarks|docs"
NAMED = re.compile(rf"`((?:{FOLDERS})/[A-Za-z0-9_./-]*[A-Za-z0-9_/-])`")
LINKED = re.compile(r"\]\((?!https?:)([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_a_page_names_or_links_exists(page: Path):
    """A reader who looks where a page points finds it; a renamed file takes its pages along."""
    text = page.read_text()
    missing = [name for name in NAMED.findall(text) if not (ROOT / name).exists()]
    dead = [link for link in LINKED.findall(text) if not (page.parent / link).exists()]
    assert ([], []) == (missing, dead)
