"""Log lines: JSON with the ids they are about, and no secret in any, whoever writes it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import grouping_store as made
import pytest

from soulcaster import logs
from soulcaster.recluster import recluster

CANARY = 'canary-key "0123456789'
ROOT = Path(__file__).resolve().parents[1]

SPEAKER = """
import logging, os
from soulcaster import logs
from soulcaster.settings import load_settings, read_secret
settings = load_settings()
logs.start(settings.log_format, settings.log_level)
secret = settings.gemini_api_key.get_secret_value()
other = read_secret("MY_TOKEN").get_secret_value()
log = logging.getLogger("soulcaster.test")
with logs.bound(project="acme", item_id="i1"):
    log.info("said %s\\nto %r", secret, {"authorization": other})
try:
    raise ValueError(f"refused {other}")
except ValueError:
    log.exception("failed with %s", {"key": secret})
logging.getLogger("httpx").warning("GET https://x/?key=%s", secret)
logging.getLogger("uvicorn.error").warning("plain")
log.debug("not wanted")
"""


def spoken(tmp_path: Path, log_format: str) -> list[str]:
    """What a process writes to standard error that logs our secrets and a stranger's words in every way."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SOULCASTER_LOG_FORMAT": log_format,
           "SOULCASTER_GEMINI_API_KEY": CANARY, "MY_TOKEN": "canary-token-9876543210",
           "PREFECT__FLOW_RUN_ID": "f1"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", SPEAKER], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    return done.stderr.splitlines()


def test_json_lines_carry_ids_and_tracebacks_and_no_secret(tmp_path):
    """Each line is an object; message, traceback, other libraries' and uvicorn's lines have no canary."""
    lines = spoken(tmp_path, "json")

    said, failed, asked, served = map(json.loads, lines)
    assert "canary" not in "\n".join(lines)
    assert ("acme", "i1", "f1", "INFO") == (said["project"], said["item_id"], said["flow_run_id"], said["level"])
    assert "item_id" not in failed
    assert "ValueError: refused [secret]" in failed["exception"]
    assert ("GET https://x/?key=[secret]", "httpx") == (asked["message"], asked["logger"])
    assert "plain" == served["message"]
    assert said["at"].endswith("+00:00")


def test_plain_lines_have_no_secret_and_strangers_words_cannot_make_a_line(tmp_path):
    """A line break in a message does not begin a forged line."""
    lines = spoken(tmp_path, "text")

    assert "canary" not in "\n".join(lines)
    assert lines[0].startswith("INFO soulcaster.test: said [secret] to")
    assert lines[0].rstrip().endswith("[flow_run_id=f1 project=acme item_id=i1]")
    assert any(line.startswith("ValueError: refused") for line in lines)


def test_a_grouping_names_its_run_and_project(settings, caplog: pytest.LogCaptureFixture):
    """Who reads the log finds the grouping, and from it everything else."""
    made.add_topics(settings, 2, 3)
    with caplog.at_level(logging.INFO, "soulcaster"):
        report = recluster(settings, made.PROJECT)

    [record] = [each for each in caplog.records if each.name == "soulcaster.recluster"]
    line = json.loads(logs.JsonLines().format(record))
    assert (report.run_id, made.PROJECT) == (line["run_id"], line["project"])


FLOW_PROCESS = """
import logging
from prefect.logging.configuration import setup_logging
from soulcaster import logs
from soulcaster.settings import load_settings
setup_logging()
secret = load_settings().gemini_api_key.get_secret_value()
with logs.bound(job_id="j1"):
    logging.getLogger("soulcaster.fix").info("moved %s", secret)
logging.getLogger("prefect.worker").error("asked with %s", secret)
"""


def test_processes_of_prefect_write_the_same_lines(tmp_path):
    """Under the configuration that `up` gives them: ids, run, and no secret in Prefect's own lines either."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path),
           "SOULCASTER_GEMINI_API_KEY": CANARY,
           "PREFECT_LOGGING_SETTINGS_PATH": str(ROOT / "infra/prefect/logging-json.yml"),
           "PREFECT_LOGGING_TO_API_ENABLED": "false", "PREFECT__FLOW_RUN_ID": "f1"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", FLOW_PROCESS], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )

    ours, prefects = map(json.loads, done.stderr.splitlines())
    assert ("j1", "f1", "moved [secret]") == (ours["job_id"], ours["flow_run_id"], ours["message"])
    assert ("prefect.worker", "asked with [secret]") == (prefects["logger"], prefects["message"])
