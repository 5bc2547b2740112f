"""The doctor on every kind of source: it works, it waits, or a person must act, and then what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from standins import github_server, reddit_server, sentry_server
from standins.wire_server import Answer, Request, Wire, failure, running

from soulcaster.configured import SourceOptions, parse_source_id
from soulcaster.doctor import examine
from soulcaster.errors import PermanentError, TransientError
from soulcaster.pull import add_source, pull
from soulcaster.settings import Settings

SECRETS = {
    "ACME_GITHUB": github_server.TOKEN,
    "ACME_SENTRY": sentry_server.TOKEN,
    "ACME_REDDIT_ID": reddit_server.CLIENT_ID,
    "ACME_REDDIT_SECRET": reddit_server.CLIENT_SECRET,
    "DESK_KEY": "desk-key",
}
DESK = """
title: Desk
records: rows
fields: {id: id, title: t}
poll: {url: rows, headers: {Authorization: {variable: DESK_KEY}}}
"""
TODO = {
    "github:acme/notes": "put a new one",
    "reddit:notesapp": "client",
    "sentry:acme/web": "token",
    "generic:desk": "check DESK_KEY",
}


def desk(_request: Request) -> Answer:
    """A service with one record."""
    return Answer(payload={"rows": [{"id": 1, "t": "Import stops"}]})


@pytest.fixture
def wires(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Wire]]:
    """One running stand-in and one configured source of each kind."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SOULCASTER_POLL_PRIVATE_ADDRESSES", "true")
    settings.mappings_path.mkdir(parents=True)
    (settings.mappings_path / "desk.yaml").write_text(DESK)
    with ExitStack() as stack:
        github = stack.enter_context(github_server.running_github())
        reddit = stack.enter_context(reddit_server.running_reddit())
        sentry = stack.enter_context(sentry_server.running_sentry())
        service = stack.enter_context(running(desk, Wire()))
        github.put(1, "Export stops", "2026-01-01T00:00:00Z")
        reddit.post(1, 1_767_225_600.0)
        sentry.put(1, "2026-01-01T00:00:00Z")
        signed = {"client_id_variable": "ACME_REDDIT_ID", "client_secret_variable": "ACME_REDDIT_SECRET"}
        found: dict[str, Wire] = {}
        for source_id, wire, options in (
            ("github:acme/notes", github, {"token_variable": "ACME_GITHUB"}),
            ("reddit:notesapp", reddit, signed),
            ("sentry:acme/web", sentry, {"token_variable": "ACME_SENTRY"}),
            ("generic:desk", service, {}),
        ):
            found[source_id] = wire
            chosen = SourceOptions(base_url=wire.url, **options)
            add_source(settings, "default", *parse_source_id(source_id), chosen, actor="test")
        yield found


@pytest.mark.parametrize("source_id", list(TODO))
def test_the_doctor_says_how_each_kind_of_source_is_and_what_to_do(settings, wires, source_id):
    """Never pulled, working, refused, away, working again: state, since when, and the next step."""
    settings = settings.model_copy(update={"poll_private_addresses": True})

    def told() -> tuple[str, str]:
        [finding] = [each for each in examine() if each.subject == source_id]
        return finding.state, finding.message

    def pull_now() -> None:
        pull(settings, "default", *parse_source_id(source_id), is_forced=True)

    assert told() == ("warn", f"never pulled; `soulcaster ingest {source_id}` pulls it now.")
    pull_now()
    state, message = told()
    assert (state, "works since" in message, "by way of" in message) == ("ok", True, True)
    wires[source_id].failures = [failure("401")]
    with pytest.raises(PermanentError):
        pull_now()
    state, message = told()
    assert (state, "blocked since" in message, TODO[source_id] in message) == ("fail", True, True), message
    wires[source_id].failures = [failure("500")]
    with pytest.raises(TransientError):
        pull_now()
    state, message = told()
    assert (state, "failing since" in message, "tried again" in message) == ("warn", True, True), message
    pull_now()
    assert told()[0] == "ok"
    assert not any(secret in told()[1] for secret in SECRETS.values())


def test_the_doctor_names_a_variable_and_a_mapping_that_are_missing(settings, wires, monkeypatch):
    """What is wrong on this side is told like a refusal: which variable to set, which file to write."""
    monkeypatch.delenv("ACME_SENTRY")
    (settings.mappings_path / "desk.yaml").unlink()
    for source_id in ("sentry:acme/web", "generic:desk"):
        with pytest.raises(PermanentError):
            pull(settings, "default", *parse_source_id(source_id))
    found = {each.subject: each for each in examine()}

    assert (found["sentry:acme/web"].state, "ACME_SENTRY" in found["sentry:acme/web"].message) == ("fail", True)
    assert (found["generic:desk"].state, "NAME.yaml" in found["generic:desk"].message) == ("fail", True)
    assert wires["sentry:acme/web"].requests == []
