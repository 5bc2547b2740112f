"""Secrets never reach logs, reports, artifacts, Prefect's database or the home, whatever a service repeats."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import httpx
import pytest
from prefect_server import PrefectServer
from pydantic import SecretStr
from receiver_process import Receiver
from standins.wire_server import Answer, Request, Wire, running

from soulcaster.settings import Settings

pytestmark = [pytest.mark.prefect, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
COMMANDS = """
import sys
from soulcaster.cli import main

for line in sys.argv[1:]:
    sys.argv = ["soulcaster", *line.split()]
    try:
        main()
    except SystemExit:
        pass
"""
OF_SOURCES = ("ACME_GITHUB_TOKEN", "ACME_SENTRY_TOKEN", "ACME_REDDIT_ID", "ACME_REDDIT_SECRET")
OF_SETTINGS = tuple(
    f"SOULCASTER_{name.upper()}"
    for name, field in Settings.model_fields.items()
    if field.annotation is SecretStr or SecretStr in get_args(field.annotation)
)
CANARIES = {name: f"canary-{number:02d}-7d1f0c9e5b" for number, name in enumerate((*OF_SOURCES, *OF_SETTINGS))}


def repeat(request: Request) -> Answer:
    """Refuse everything and repeat what was shown, as debugging proxies do."""
    shown = f"{request.headers} {request.query} {request.body.decode('utf-8', 'replace')}"
    return Answer(401, {"message": shown, "detail": shown, "error": {"code": 401, "message": shown}})


def spellings(secret: str) -> list[bytes]:
    """The secret, and its base64 at each of the three places it can begin in what was encoded."""
    found = [secret.encode()]
    for shift in range(3):
        whole = base64.b64encode(b"x" * shift + secret.encode())
        found.append(whole[4 if shift else 0 : -4])
    return found


def leaks(text: bytes) -> list[str]:
    """Names of the secrets that stand in it."""
    return [name for name, secret in CANARIES.items() if any(each in text for each in spellings(secret))]


def test_no_secret_reaches_a_log_a_report_or_a_database(prefect_server: PrefectServer, tmp_path: Path):
    """Every secret is set; what commands, flow and receiver leave behind and say holds none of them."""
    home = tmp_path / "home"
    with running(repeat, Wire()) as wire:
        said = use_everything(prefect_server, tmp_path, home, wire.url)

    asked = str([(request.headers, request.body) for request in wire.requests])
    for name in ("ACME_GITHUB_TOKEN", "ACME_SENTRY_TOKEN", "SOULCASTER_GEMINI_API_KEY"):
        assert CANARIES[name] in asked, f"{name} was not used, so this test would prove nothing"
    assert {where: found for where, text in said.items() if (found := leaks(text))} == {}
    files = [file for place in (home, prefect_server.home) for file in place.rglob("*") if file.is_file()]
    assert any(file.suffix == ".db" for file in files)
    assert {file.name: found for file in files if (found := leaks(file.read_bytes()))} == {}


def use_everything(prefect_server: PrefectServer, tmp_path: Path, home: Path, url: str) -> dict[str, bytes]:
    """What each command, the flow and the receiver said, with every secret set and every service at `url`."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SOULCASTER_")}
    env = clean | CANARIES | {
        "SOULCASTER_HOME": str(home), "SOULCASTER_LOG_LEVEL": "DEBUG", "PREFECT_LOGGING_LEVEL": "DEBUG",
        "SOULCASTER_EMBEDDER": "gemini", "SOULCASTER_GEMINI_BASE_URL": url, "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": prefect_server.api_url, "PREFECT_HOME": str(prefect_server.home),
    }  # fmt: skip
    feedback = tmp_path / "feedback.csv"
    feedback.write_text("id,text\n1,It crashes when I export\n2,It crashes on export again\n3,Please add a dark mode\n")
    reddit = "--client-id-variable ACME_REDDIT_ID --client-secret-variable ACME_REDDIT_SECRET --way oauth"
    commands = [
        f"import {feedback} --id-column id --text-column text",
        f"source add github:acme/notes --token-variable ACME_GITHUB_TOKEN --base-url {url}",
        f"source add sentry:acme/web --token-variable ACME_SENTRY_TOKEN --base-url {url}",
        f"source add reddit:acme {reddit} --base-url {url}",
        "ingest", "embed", "recluster", "doctor", "source list",
    ]  # fmt: skip
    said = {}
    for name, words in {
        "commands": [sys.executable, "-c", COMMANDS, *commands],
        "flow": [sys.executable, "-c", "from flows.ingest import ingest; ingest()"],
    }.items():
        done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, check=False, timeout=300)
        said[name] = done.stdout + done.stderr
    for source in (b"github:acme/notes", b"sentry:acme/web", b"reddit:acme"):
        assert source in said["commands"]
        assert source in said["flow"]
    receiver = Receiver(home, {name: value for name, value in env.items() if name.startswith("SOULCASTER_")})
    try:
        for name, secret in CANARIES.items():
            wrong = {"Authorization": f"Basic {secret}", "Sentry-Hook-Signature": secret, "X-Hub-Signature-256": secret}
            for path in ("/ingest/sentry", "/ingest/github", "/ingest/manual", "/metrics", "/api/v1/clusters"):
                answer = httpx.request("GET" if "ingest" not in path else "POST", receiver.url + path, headers=wrong)
                said[f"answer {path} {name}"] = answer.content
    finally:
        receiver.end()
    return said
