"""The alert rules ask for figures that there are, and each has a page that says what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from soulcaster.db.metrics import FIGURES
from soulcaster.metrics import render

ROOT = Path(__file__).resolve().parents[1]
RULES = yaml.safe_load((ROOT / "infra/alerts.yml").read_text())["groups"][0]["rules"]


def test_every_rule_asks_for_figures_that_are_served(settings, tmp_path):
    """Names in the expressions are those of /metrics, with labels that these have."""
    own = settings.model_copy(update={"backup_folder": tmp_path})
    served = set(re.findall(r"^(soulcaster_\w+)", render(own).decode(), re.MULTILINE))
    served |= {f"soulcaster_{figure.name}" for figure in FIGURES}
    labels = {f"soulcaster_{figure.name}": {*figure.labels} for figure in FIGURES}
    for rule in RULES:
        asked = re.findall(r"(soulcaster_\w+)(?:\{(\w+))?", rule["expr"])
        assert asked or rule["alert"] == "SoulcasterDown"
        assert {name for name, _ in asked} <= served, rule["alert"]
        assert all(label in labels[name] for name, label in asked if label), rule["alert"]


def test_every_alert_has_its_page_and_every_page_its_alert():
    """Each page has the rule's words, what it means and numbered steps; the index lists all."""
    pages = {path.stem for path in (ROOT / "docs/runbook").glob("Soulcaster*.md")}
    index = (ROOT / "docs/runbook/README.md").read_text()

    assert pages == {rule["alert"] for rule in RULES}
    for rule in RULES:
        text = (ROOT / rule["annotations"]["runbook"]).read_text()
        assert rule["expr"].strip() in text
        assert rule["annotations"]["summary"] in text
        assert "**What it means.**" in text
        assert "\n1. " in text
        assert f"({rule['alert']}.md)" in index


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
def test_prometheus_reads_the_rules():
    """Its own checker finds nothing wrong."""
    done = subprocess.run(
        ["promtool", "check", "rules", str(ROOT / "infra/alerts.yml")], capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr


def test_a_budget_rule_fires_for_the_project_that_spent_it(tmp_path):
    """Prometheus's own unit test of the two rules that join figures with and without a project."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool (Debian: prometheus) is not installed")
    series = [
        {"series": 'soulcaster_fix_cost_usd{project="a"}', "values": "21x10"},
        {"series": 'soulcaster_fix_cost_usd{project="b"}', "values": "1x10"},
        {"series": "soulcaster_fix_budget_usd", "values": "25x10"},
    ]
    fires = {"eval_time": "9m", "alertname": "SoulcasterFixBudget",
             "exp_alerts": [{"exp_labels": {"severity": "ticket", "project": "a"}, "exp_annotations": next(
                 rule["annotations"] for rule in RULES if rule["alert"] == "SoulcasterFixBudget")}]}  # fmt: skip
    test = {"rule_files": [str(ROOT / "infra/alerts.yml")],
            "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": [fires]}]}  # fmt: skip
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))

    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "test.yml")], capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr
