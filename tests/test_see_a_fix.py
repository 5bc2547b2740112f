"""The way from feedback to a proven draft pull request, as the README shows it: everything real but model and forge."""

from __future__ import annotations

from pathlib import Path

import pytest
from see_a_fix import see

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".tools" / ".installed").exists(), reason="infra/install-tools.sh has not run")
def test_a_cluster_of_the_sample_ends_as_a_proven_draft_pull_request(tmp_path):
    """Sample, grouping, Kilo in the sandbox, proof, policy, publisher: one draft, its page tells cause and proof."""
    job = see(tmp_path, "kilo")

    page = Path(job["page"]).read_text(encoding="utf-8")
    assert ("pr_open", "proved", "kilo") == (job["status"], job["verdict"], job["tool"])
    assert "joins fields with commas" in page
    assert "test_a_note_with_a_comma_stays_in_its_column" in page
    assert "Fixes #1664" in page
