"""The way from feedback to a proven draft pull request, as the README shows it: everything real but model and forge."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from see_a_fix import see

from soulcaster.run_bundle import write_bundle
from soulcaster.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".tools" / ".installed").exists(), reason="infra/install-tools.sh has not run")
def test_a_cluster_of_the_sample_ends_as_a_proven_draft_pull_request(tmp_path):
    """Sample, grouping, Kilo in the sandbox, proof, policy, publisher: one draft, its page tells cause and proof; the
    bundle holds what the model was asked and answered.
    """
    job = see(tmp_path, "kilo")

    page = Path(job["page"]).read_text(encoding="utf-8")
    assert ("pr_open", "proved", "kilo") == (job["status"], job["verdict"], job["tool"])
    assert "joins fields with commas" in page
    assert "test_a_note_with_a_comma_stays_in_its_column" in page
    assert "Fixes #1664" in page
    settings = Settings(_env_file=None, home=tmp_path / "home")
    with zipfile.ZipFile(write_bundle(settings, settings.project, job["job_id"])) as bundle:
        lines = [json.loads(line) for line in bundle.read("1-edit/launch/model.jsonl").splitlines()]
    assert {200} == {line["status"] for line in lines}
    assert any("joins fields with commas" in line["answer"].get("text", "") for line in lines)
    assert any("Task: diagnose" in json.dumps(line["new"]) for line in lines)
    assert max(line["n_before"] for line in lines) > 0, "a conversation is not told again with every request"
