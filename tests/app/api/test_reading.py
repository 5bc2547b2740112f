"""What a viewer's token reads by HTTP: pages that fit together, ETags, and nothing secret."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from seeding import PROJECT

from app.api import make_api
from app.webhook import make_app as make_receiver
from soulcaster import edit
from soulcaster.access import revoke_token
from soulcaster.db import write
from soulcaster.settings import Settings

LISTS = {"/v1/clusters": "cluster_id", "/v1/items": "item_id", "/v1/themes": "theme_id", "/v1/runs": "run_id"}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _walk(api: TestClient, token: str, path: str, key: str, limit: int) -> list[str]:
    found, cursor = [], None
    while True:
        params = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        page = api.get(path, params=params, headers=_bearer(token)).raise_for_status().json()
        found += [row[key] for row in page["rows"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_pages_of_every_list_fit_together(api, tokens):
    """Walking page by page gives the same rows as one large page, each once."""
    for path, key in LISTS.items():
        whole = _walk(api, tokens["viewer"], path, key, 200)
        paged = _walk(api, tokens["viewer"], path, key, 7 if len(whole) > 10 else 1)
        assert whole == paged
        assert len(whole) == len(set(whole)) > 1, path


def test_a_list_begun_on_one_run_goes_on_with_it_while_another_is_published(api, tokens, home: Settings):
    """A merge between two pages neither doubles nor loses a row of the list that was begun before it."""
    token = tokens["viewer"]
    before = _walk(api, token, "/v1/clusters", "cluster_id", 200)
    first = api.get("/v1/clusters", params={"limit": 10}, headers=_bearer(token)).json()
    edit.merge(home, PROJECT, [before[1], before[-1]], actor="anna")

    found = [row["cluster_id"] for row in first["rows"]]
    cursor = first["next_cursor"]
    while cursor:
        page = api.get("/v1/clusters", params={"limit": 10, "cursor": cursor}, headers=_bearer(token)).json()
        found += [row["cluster_id"] for row in page["rows"]]
        cursor = page["next_cursor"]

    assert before == found
    assert len(before) - 1 == len(_walk(api, token, "/v1/clusters", "cluster_id", 200))


def test_filters_narrow_and_a_cursor_of_other_filters_is_refused(api, tokens):
    """Status, words and cluster narrow; a cursor belongs to the list it came from."""
    headers = _bearer(tokens["viewer"])
    triaged = api.get("/v1/clusters", params={"status": "triaged"}, headers=headers).json()["rows"]
    assert {"triaged"} == {row["status"] for row in triaged}
    worded = api.get("/v1/clusters", params={"q": "LOGIN"}, headers=headers).json()["rows"]
    assert worded
    assert all("login" in json.dumps(row).lower() for row in worded)
    items = api.get("/v1/items", params={"cluster_id": triaged[0]["cluster_id"]}, headers=headers).json()["rows"]
    assert len(items) == triaged[0]["n_items"]
    page = api.get("/v1/clusters", params={"limit": 2}, headers=headers).json()

    refused = api.get("/v1/clusters", params={"cursor": page["next_cursor"], "status": "new"}, headers=headers)

    assert 400 == refused.status_code
    assert "other filters" in refused.json()["detail"]
    misspelt = api.get("/v1/clusters", params={"status": "traiged"}, headers=headers)
    assert 422 == misspelt.status_code
    assert "'triaged', 'ignored', 'fixing'" in misspelt.json()["detail"]


def test_the_same_answer_is_not_sent_twice(api, tokens, home: Settings):
    """If-None-Match gives 304 until somebody changes the cluster."""
    headers = _bearer(tokens["viewer"])
    cluster_id = api.get("/v1/clusters", headers=headers).json()["rows"][0]["cluster_id"]
    first = api.get(f"/v1/clusters/{cluster_id}", headers=headers)
    again = api.get(f"/v1/clusters/{cluster_id}", headers=headers | {"If-None-Match": first.headers["etag"]})
    write(home.duckdb_path, lambda con: con.execute("UPDATE clusters SET owner = 'ben'"))
    changed = api.get(f"/v1/clusters/{cluster_id}", headers=headers | {"If-None-Match": first.headers["etag"]})

    assert (304, b"") == (again.status_code, again.content)
    assert 200 == changed.status_code
    assert "ben" == changed.json()["owner"]


def test_the_receivers_process_serves_it(home: Settings, tokens):
    """Beside the webhooks' doors, under /api; what is no path of it is a 404 as problem+json."""
    with TestClient(make_receiver(home)) as client:
        assert 200 == client.get("/api/v1/stats", headers=_bearer(tokens["viewer"])).status_code
        assert 200 == client.get("/health").status_code
        missing = client.get("/api/v1/nothing")

    assert (404, "application/problem+json") == (missing.status_code, missing.headers["content-type"])


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer sc_000000000000_" + "a" * 43, "Basic YTpi", "Bearer \xff"])
def test_nobody_reads_without_a_token(api, header):
    """Every path but the description answers 401 as problem+json without a token of ours."""
    paths = [path for path in api.get("/v1/openapi.json").json()["paths"] if "{" not in path]
    assert len(paths) > 8
    for path in paths:
        answer = api.get(path, headers={"Authorization": header.encode("latin-1")} if header else {})
        assert 401 == answer.status_code, path
        assert "application/problem+json" == answer.headers["content-type"]
        assert "Bearer" == answer.headers["www-authenticate"]


def test_a_token_ends_when_it_is_revoked_or_over_and_tells_when_it_was_used(api, tokens, home: Settings):
    """Revoking counts from the next request on, so does the last day; the hour of use is kept."""
    from soulcaster.access import list_tokens

    def status(role: str) -> int:
        return api.get("/v1/stats", headers=_bearer(tokens[role])).status_code

    assert (200, 200) == (status("viewer"), status("fixer"))
    ids = {token.role: token for token in list_tokens(home, PROJECT)}
    assert ids["viewer"].used_at is not None
    assert ids["admin"].used_at is None
    revoke_token(home, PROJECT, ids["viewer"].token_id, actor="anna")
    past = datetime.now(UTC) - timedelta(seconds=1)
    write(home.duckdb_path, lambda con: con.execute("UPDATE access_tokens SET expires_at = $1", [past]))

    assert (401, 401) == (status("viewer"), status("fixer"))


def test_configuration_tells_names_of_secrets_and_no_secret(home: Settings, tokens):
    """Secrets are booleans, addresses lose their password, tokens are stored nowhere."""
    settings = home.model_copy(
        update={"gemini_base_url": "http://me:hush@proxy.example/x", "receiver_token": Settings.model_validate(
            {"receiver_token": "hush-hush"}).receiver_token}
    )  # fmt: skip
    with TestClient(make_api(settings)) as api:
        told = api.get("/v1/config/settings", headers=_bearer(tokens["viewer"])).json()["settings"]
        for name in ("sources", "repositories"):
            assert 200 == api.get(f"/v1/config/{name}", headers=_bearer(tokens["viewer"])).status_code

    assert (True, False) == (told["SOULCASTER_RECEIVER_TOKEN"], told["SOULCASTER_GITHUB_WEBHOOK_SECRET"])
    assert "http://proxy.example/x" == told["SOULCASTER_GEMINI_BASE_URL"]
    assert "hush" not in json.dumps(told)
    assert tokens["admin"].encode() not in home.duckdb_path.read_bytes()


def test_a_caller_who_asks_too_often_waits_and_nobody_else_does(home: Settings, tokens):
    """The bound is a token's own, and says when to come back."""
    with TestClient(make_api(home.model_copy(update={"api_requests_per_minute": 3}))) as api:
        seen = [api.get("/v1/themes", headers=_bearer(tokens["viewer"])) for _ in range(4)]
        other = api.get("/v1/themes", headers=_bearer(tokens["fixer"]))

    assert [200, 200, 200, 429] == [each.status_code for each in seen]
    assert 1 <= int(seen[-1].headers["retry-after"]) <= 21
    assert 200 == other.status_code
