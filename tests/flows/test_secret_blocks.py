"""Secrets of sources that lie in Secret blocks of a real Prefect server."""

from __future__ import annotations

import httpx
import pytest
from prefect.blocks.system import Secret
from prefect_server import PrefectServer, free_port
from pydantic import SecretStr
from standins.github_server import TOKEN, running_github
from standins.wire_server import Answer, Request, Wire, running

from flows.ingest import IngestParams, ingest
from soulcaster import db
from soulcaster.configured import SourceOptions, parse_options
from soulcaster.errors import PermanentError, TransientError
from soulcaster.pull import add_source, examine, list_sources, probe
from soulcaster.settings import Settings, read_secret

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server", "settings")]

DESK = """
title: Desk
records: rows
fields: {id: id, title: t}
poll: {url: rows, headers: {Authorization: {variable: "block:desk-key", prefix: "Bearer "}}}
"""


def desk(request: Request) -> Answer:
    """A service that wants its key."""
    if request.headers.get("authorization") != "Bearer desk-key-value":
        return Answer(401, {"error": "who are you?"})
    return Answer(payload={"rows": [{"id": 1, "t": "Import stops"}]})


def test_sources_sign_in_with_secrets_out_of_blocks(
    prefect_server: PrefectServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """A token and a header of a mapping come out of blocks; a missing block is named; no value is left behind."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.api_url)
    monkeypatch.setenv("SOULCASTER_POLL_PRIVATE_ADDRESSES", "true")
    Secret(value=SecretStr(TOKEN)).save("acme-github", overwrite=True)
    Secret(value=SecretStr("desk-key-value")).save("desk-key", overwrite=True)
    settings.mappings_path.mkdir(parents=True)
    (settings.mappings_path / "desk.yaml").write_text(DESK)
    open_to_all = settings.model_copy(update={"poll_private_addresses": True})
    with running_github() as server, running(desk, Wire()) as service:
        server.put(1, "Export stops", "2026-01-01T00:00:00Z")
        for name, block in (("acme/notes", "block:acme-github"), ("acme/web", "block:nobody-made-it")):
            chosen = parse_options("github", {"token_variable": block, "base_url": server.url})
            add_source(settings, "default", "github", name, chosen, actor="test")
        add_source(settings, "default", "generic", "desk", SourceOptions(base_url=service.url), actor="test")
        report = ingest(IngestParams(), return_state=True).result()
        assert "1 items on the first page" in probe(open_to_all, "default", "generic", "desk").message

    assert report.new == 2
    found = {source.source_id: (source.state, source.message) for source in list_sources(settings, "default")}
    assert {name: state for name, (state, _) in found.items()} == {
        "generic:desk": "ok", "github:acme/notes": "ok", "github:acme/web": "blocked",
    }  # fmt: skip
    assert "Secret block 'nobody-made-it'" in found["github:acme/web"][1]
    assert ("github:acme/web", "fail") in [finding[:2] for finding in examine(settings)]
    query = "SELECT s::VARCHAR FROM sources s UNION ALL SELECT a::VARCHAR FROM activity a"
    kept = str(db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall()))
    artifacts = httpx.post(f"{prefect_server.api_url}/artifacts/filter", json={}, timeout=60).raise_for_status().text
    assert not any(secret in text for secret in (TOKEN, "desk-key-value") for text in (kept, artifacts))


def test_a_prefect_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    """The source is tried again by itself: nobody has to mend it."""
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
    with pytest.raises(TransientError, match="Prefect does not answer"):
        read_secret("block:acme-github")


def test_what_is_no_name_of_a_block_is_refused():
    """A secret pasted in its place is told at once, and not repeated."""
    with pytest.raises(PermanentError, match="block:acme-token") as caught:
        parse_options("github", {"token_variable": "block:ghp_SECRET"})
    assert "SECRET" not in str(caught.value)
