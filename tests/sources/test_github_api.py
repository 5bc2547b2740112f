"""Pulls of a GitHub repository from a stand-in that speaks its wire protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from standins.github_server import TOKEN, GitHubServer, running_github
from standins.wire_server import Answer, failure

from soulcaster import db
from soulcaster.configured import PullReport, SourceOptions
from soulcaster.db import sources as store
from soulcaster.errors import PermanentError, TransientError
from soulcaster.pull import add_source, list_sources, pull
from soulcaster.settings import Settings

REPOSITORY = "acme/notes"


@pytest.fixture
def github(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    """A repository of 130 issues, 6 of them pull requests, configured as a source of the project."""
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    with running_github(repository=REPOSITORY) as server:
        for number in range(1, 131):
            is_pull = {"pull_request": {"url": "x"}} if number % 25 == 1 else {}
            server.put(number, f"Export number {number} stops", at(number), **is_pull)
        configure(settings, server)
        yield server


def at(minute: int) -> str:
    """A time in January 2026, as GitHub writes it."""
    return f"{datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ}"


def configure(settings: Settings, server: GitHubServer, **options: Any) -> None:
    """The server's repository as a source."""
    chosen = SourceOptions(token_variable="ACME_TOKEN", base_url=server.url, **options)
    add_source(settings, "default", "github", server.repository, chosen, actor="test")


def run(settings: Settings, **more: Any) -> PullReport:
    """One pull of the repository."""
    return pull(settings, "default", "github", REPOSITORY, **more)


def rows(settings: Settings, columns: str = "external_id") -> list[tuple[Any, ...]]:
    """Stored items by id."""
    query = f"SELECT {columns} FROM items ORDER BY external_id"  # noqa: S608  columns named by the tests
    return db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall())


@pytest.mark.usefixtures("github")
def test_two_pulls_store_every_issue_once_and_pull_requests_never(settings):
    """Counts equal distinct ids; the second pull reads only the overlap."""
    first, second = run(settings), run(settings)

    assert (first.counts.new, first.counts.ignored["pull-request"]) == (124, 6)
    assert (second.counts.new, second.counts.changed) == (0, 0)
    assert second.counts.seen < 30
    assert len(rows(settings)) == 124
    source = list_sources(settings, "default")[0]
    assert (source.state, source.way, source.retry_at) == ("ok", "token", None)


def test_lists_cost_one_request_a_page(settings, github):
    """No issue is asked for one by one while listing (the trap of PyGithub's attributes)."""
    run(settings)

    lists = [path for path in github.paths() if path == f"/repos/{REPOSITORY}/issues"]
    assert len(lists) <= 4
    assert len([path for path in github.paths() if path.rpartition("/")[2].isdigit()]) <= 10


def test_many_issues_of_one_second_are_read_by_the_link_header(settings, monkeypatch):
    """A whole import of issues has one time: no key moves there, so the pages are followed."""
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    with running_github(repository=REPOSITORY) as server:
        for number in range(1, 151):
            server.put(number, f"Moved here as {number}", at(5))
        configure(settings, server)

        assert run(settings).counts.new == 150


def test_an_edit_between_two_pulls_is_one_change(settings, github):
    """Only the edited issue is written anew; a closed one carries its reason."""
    run(settings)
    github.put(7, "Export number 7 stops at row 1000", at(2000), state="closed", state_reason="not_planned")

    assert (run(settings).counts.changed, run(settings).counts.changed) == (1, 0)
    found = rows(settings, "external_id, state, state_reason, title")
    assert (f"{REPOSITORY}#7", "closed", "not_planned", "Export number 7 stops at row 1000") in found


def test_an_issue_edited_while_pages_are_read_hides_none_behind_it(settings, github):
    """An edit moves an issue to the end and all behind it forward: page numbers would skip one, keys do not."""

    def edit_after_first_page(request):
        if request.path.endswith("/issues") and len(github.requests) == 2:
            edits.append(1)
        elif edits and edits.pop():
            for number in range(2, 12):
                github.put(number, f"Export number {number} stops, edited", at(3000 + number))

    edits: list[int] = []
    github.on_request = edit_after_first_page
    run(settings)

    assert len(rows(settings)) == 124


def test_comments_are_items_when_asked_for_and_those_on_pull_requests_are_not(settings, monkeypatch):
    """Each kind of list has its own watermark."""
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    with running_github(repository=REPOSITORY) as server:
        server.put(1, "Export stops", at(1))
        server.say(11, 1, "It stops for me too, at row 1000", at(2))
        server.say(12, 9, "Please add a test for this", at(3), kind="pull")
        configure(settings, server, include_comments=True)
        report = run(settings)

        assert (report.counts.new, report.counts.ignored) == (2, {"pull-request-comment": 1})
        assert rows(settings) == [(f"{REPOSITORY}#1",), (f"{REPOSITORY}#issuecomment-11",)]


def test_labels_filter_at_the_source(settings, monkeypatch):
    """Only issues with all labels come."""
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    with running_github(repository=REPOSITORY) as server:
        server.put(1, "Export stops", at(1), labels=[{"name": "bug"}, {"name": "export"}])
        server.put(2, "Import stops", at(2), labels=[{"name": "bug"}])
        configure(settings, server, labels=["bug", "export"])

        assert run(settings).counts.new == 1


def test_deleted_and_transferred_issues_are_followed(settings, monkeypatch):
    """A deleted issue stays as a deleted item, a transferred one names where it went."""
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    with running_github(repository=REPOSITORY) as server:
        for number in (1, 2, 3):
            server.put(number, f"Export {number} stops", at(number))
        configure(settings, server)
        run(settings)
        server.gone.add(2)
        server.moved[3] = server.issues[3] | {"number": 44, "html_url": "https://github.com/acme/web/issues/44"}
        second = run(settings)

        found = rows(settings, "external_id, state, state_reason, duplicate_of")
        assert second.counts.changed == 2
        assert found == [
            (f"{REPOSITORY}#1", "open", None, None),
            (f"{REPOSITORY}#2", "deleted", "deleted", None),
            (f"{REPOSITORY}#3", "removed", "transferred", "acme/web#44"),
        ]


def test_a_renamed_repository_stops_the_pull_before_anything_is_doubled(settings, github):
    """GitHub redirects silently; we say the new name instead."""
    run(settings)
    github.full_name = "acme/notebook"

    with pytest.raises(PermanentError, match="acme/notebook"):
        run(settings)
    assert len(rows(settings)) == 124
    assert list_sources(settings, "default")[0].state == "blocked"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (failure("401"), PermanentError, "token is wrong"),
        (failure("403"), PermanentError, "may not read"),
        (failure("404"), PermanentError, "no such repository"),
        (failure("429"), TransientError, "429"),
        (failure("500"), TransientError, "500"),
        (failure("502"), TransientError, "502"),
        (failure("slow"), TransientError, "failed"),
        (failure("drip"), TransientError, "given up"),
        (failure("drip-head"), TransientError, "given up"),
        (failure("cut"), TransientError, "failed"),
        (failure("broken"), TransientError, "failed"),
        (failure("charset"), TransientError, "UTF-8"),
        (failure("html"), TransientError, "expected"),
        (failure("wrong-shape"), TransientError, "expected a list"),
    ],
    ids=lambda value: str(value.status) + value.trick if isinstance(value, Answer) else "",
)
def test_a_failure_in_the_middle_keeps_what_came_before_and_the_next_pull_ends_complete(
    settings, github, answer, error, words
):
    """Errors are sorted into again-later and tell-a-human, the state shows it, nothing is lost or doubled."""
    brief = settings.model_copy(update={"source_timeout_seconds": 1.0})
    github.failures = [None, None, None, answer]  # repository, first page and its marks are answered
    started = time.monotonic()
    with pytest.raises(error, match=words):
        run(brief)

    assert time.monotonic() - started < 40  # a drip would last for fifty
    assert len(rows(settings)) == 96
    source = list_sources(settings, "default")[0]
    assert source.state == ("blocked" if error is PermanentError else "failing")
    assert TOKEN not in source.message
    assert run(settings, is_forced=True).counts.new == 28
    assert len(rows(settings)) == 124
    assert list_sources(settings, "default")[0].state == "ok"


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "in 900"}, 900),
        (403, {"Retry-After": "120"}, 120),
        (429, {"Retry-After": "120"}, 120),
    ],
)
def test_rate_limits_say_when_it_goes_on_and_are_obeyed(settings, github, status, headers, seconds):
    """Primary and secondary limits: the time is in the error and the state, and until then nobody asks."""
    told = {name: str(int(time.time()) + 900) if value == "in 900" else value for name, value in headers.items()}
    github.failures = [None, Answer(status, {"message": "API rate limit exceeded"}, told)]
    with pytest.raises(TransientError) as caught:
        run(settings)

    expected = datetime.now(UTC) + timedelta(seconds=seconds)
    assert caught.value.retry_at
    assert abs((caught.value.retry_at - expected).total_seconds()) < 60
    n_requests = len(github.requests)
    skipped = run(settings)
    assert skipped.skipped
    assert "left alone until" in skipped.skipped
    assert len(github.requests) == n_requests


def test_a_used_up_budget_stops_before_the_refusal(settings, github):
    """With no request left the pull stops by itself and keeps what it has."""
    github.headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 60)}
    with pytest.raises(TransientError, match="used up"):
        run(settings)

    assert len(rows(settings)) == 96


@pytest.mark.usefixtures("github")
def test_a_missing_variable_is_named(settings, monkeypatch):
    """The person is told which variable to set."""
    monkeypatch.delenv("ACME_TOKEN")

    with pytest.raises(PermanentError, match="ACME_TOKEN"):
        run(settings)


def test_a_link_to_another_host_is_not_followed(settings, github):
    """The token goes to the configured host alone."""
    link = {"Link": '<http://evil.example/repos?page=2>; rel="next"'}
    github.failures = [None, Answer(payload=[], headers=link)]

    with pytest.raises(PermanentError, match="same host"):
        run(settings)


def test_a_github_app_signs_in_with_its_key_and_reads_with_the_token_it_gets(settings, monkeypatch):
    """App id and private key, by the names of their variables; a broken key is told apart from a refusal."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    monkeypatch.setenv("ACME_APP_ID", "12")
    monkeypatch.setenv("ACME_APP_KEY", pem.decode())
    with running_github(repository=REPOSITORY) as server:
        server.put(1, "Export stops", at(1))
        chosen = SourceOptions(
            client_id_variable="ACME_APP_ID", client_secret_variable="ACME_APP_KEY", base_url=server.url
        )
        add_source(settings, "default", "github", REPOSITORY, chosen, actor="test")
        assert run(settings).counts.new == 1
        assert list_sources(settings, "default")[0].way == "app"
        monkeypatch.setenv("ACME_APP_KEY", "no key at all")
        with pytest.raises(PermanentError, match="PEM") as caught:
            run(settings)
    assert "no key at all" not in str(caught.value)


@pytest.mark.shared_data
def test_recorded_issues_are_pulled_whole(settings, shared_data_dir, monkeypatch):
    """Real issues of an old, large repository: pulled twice, counts equal distinct numbers."""
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    by_repository: dict[str, dict[int, Any]] = {}
    for page in sorted((shared_data_dir / "payloads_github_api").rglob("*.json")):
        found = json.loads(page.read_text())
        for issue in found if isinstance(found, list) else []:
            if isinstance(issue, dict) and "number" in issue and "html_url" in issue:
                name = "/".join(issue["html_url"].split("/")[3:5])
                by_repository.setdefault(name, {})[issue["number"]] = issue
    repository, issues = max(by_repository.items(), key=lambda entry: len(entry[1]))
    with running_github(repository=repository, issues=issues) as server:
        configure(settings, server)
        first, second = (pull(settings, "default", "github", repository) for _ in range(2))

    n_plain = sum(not (issue.get("pull_request") or {}).get("html_url") for issue in issues.values())
    assert len(issues) > 100
    assert first.counts.new + sum(first.counts.quarantined.values()) == n_plain
    assert (second.counts.new, second.counts.changed) == (0, 0)
    assert db.read(settings.duckdb_path, lambda con: store.list_sources(con, "default"))[0].state == "ok"
