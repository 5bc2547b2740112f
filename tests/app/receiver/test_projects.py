"""One receiver for several projects: each proves itself with its own secrets and gets what was posted to it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from app.webhook import make_app
from soulcaster import db
from soulcaster.drain import drain_inbox
from soulcaster.settings import Settings
from soulcaster.sources import inbox

SECRETS = {
    "SOULCASTER_RECEIVER_TOKEN__WEB_SHOP": "shop-token",
    "SOULCASTER_SENTRY_CLIENT_SECRET__WEB_SHOP": "shop-sentry",
    "SOULCASTER_GITHUB_WEBHOOK_SECRET__WEB_SHOP": "shop-github",
    "SPLUNK_WEBHOOK_TOKEN__WEB_SHOP": "shop-splunk",
    "SOULCASTER_RECEIVER_TOKEN__APP": "app-token",
    "SPLUNK_WEBHOOK_TOKEN": "own-splunk",
}
SHOP = {"project": "web-shop"}


@pytest.fixture
def home(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A receiver's settings: its own secrets, those of `web-shop`, and a token of `app`; Prefect is away."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    own = {"receiver_token": "own-token", "sentry_client_secret": "own-sentry", "github_webhook_secret": "own-github"}
    return settings.model_copy(update={name: SecretStr(value) for name, value in own.items()})


@pytest.fixture
def client(home: Settings) -> Iterator[TestClient]:
    """The receiver in this process."""
    with TestClient(make_app(home), raise_server_exceptions=False) as made:
        yield made


def words(text: str) -> bytes:
    """A typed text as a body."""
    return json.dumps({"text": text}).encode()


def proofs(body: bytes, whose: str) -> dict[str, dict[str, Any]]:
    """For each door: what a sender who has the secrets of `whose` sends with it."""

    def sign(secret: str) -> str:
        return hmac.new(f"{whose}-{secret}".encode(), body, hashlib.sha256).hexdigest()

    bearer = {"Authorization": f"Bearer {whose}-token"}
    return {
        "/ingest/manual": {"headers": bearer},
        "/ingest/reddit": {"headers": bearer},
        "/ingest/sentry": {"headers": {"Sentry-Hook-Signature": sign("sentry")}},
        "/ingest/github": {"headers": {"X-Hub-Signature-256": "sha256=" + sign("github")}},
        "/ingest/generic/splunk": {"params": {"token": f"{whose}-splunk"}},
    }


def items(settings: Settings) -> set[tuple[str, str]]:
    """(project, text) of all items."""
    query = "SELECT project_id, body FROM items"
    return set(db.read(settings.duckdb_path, lambda con: con.sql(query).fetchall()))


def test_each_project_gets_what_was_posted_to_it_and_drains_it_itself(client: TestClient, home: Settings):
    """The old addresses are those of the receiver's own project; a drain leaves alone what is another's."""
    client.post("/ingest/manual", content=words("Own words"), headers={"Authorization": "Bearer own-token"})
    shop = {"Authorization": "Bearer shop-token"}
    for text in ("Shop words", "Shop words", "More shop words"):
        assert client.post("/ingest/manual", params=SHOP, content=words(text), headers=shop).status_code == 202
    inbox.append(home.inbox_path, "manual", words("Nobody's words"), "", {})
    assert client.get("/health").json()["pending"] == 4

    assert drain_inbox(home, "web-shop").new == 3
    assert drain_inbox(home, "app").seen == 0
    assert drain_inbox(home, home.project).new == 1
    assert items(home) == {
        ("default", "Own words"), ("web-shop", "Shop words"), ("web-shop", "More shop words"),
        ("web-shop", "Nobody's words"),
    }  # fmt: skip
    client.post("/ingest/manual", params=SHOP, content=words("Shop words"), headers=shop)
    assert inbox.list_pending(home.inbox_path) == []  # a repetition is known in its project
    client.post("/ingest/manual", content=words("Shop words"), headers={"Authorization": "Bearer own-token"})
    assert drain_inbox(home, home.project).new == 1  # and is none in another


@pytest.mark.parametrize("path", list(proofs(b"", "")))
def test_no_projects_secret_opens_the_door_of_another(client: TestClient, home: Settings, path: str):
    """401 with the variable that is expected, at every door, both ways; the right one opens it."""
    body = words("It crashes on start")
    own, shop = proofs(body, "own")[path], proofs(body, "shop")[path]
    of_shop = {"params": SHOP | shop.get("params", {}), "headers": shop.get("headers", {})}
    borrowed = {"params": SHOP | own.get("params", {}), "headers": own.get("headers", {})}

    refused = client.post(path, content=body, **borrowed)
    assert (refused.status_code, "__WEB_SHOP" in refused.json()["detail"]) == (401, True)
    assert client.post(path, content=body, **shop).status_code == 401
    assert inbox.list_pending(home.inbox_path) == []
    assert client.post(path, content=body, **of_shop).status_code == 202
    assert client.post(path, content=body, **own).status_code == 202
    projects = {inbox.read_delivery(file).project for file in inbox.list_pending(home.inbox_path)}
    assert projects == {"default", "web-shop"}


def test_work_is_started_for_a_project_with_its_own_token_only(client: TestClient):
    """503 is the answer of a receiver whose Prefect is away: the token was taken."""
    for path in ("/admin/poll", "/ingest/github/sync/acme/notes"):
        found = [
            client.post(path, params=params, headers={"Authorization": f"Bearer {token}"}).status_code
            for params, token in ((SHOP, "shop-token"), (SHOP, "own-token"), (SHOP, "app-token"), ({}, "shop-token"))
        ]
        assert found == [503, 401, 401, 401]


def test_a_project_without_a_secret_is_told_which_variable_to_set(client: TestClient):
    """503 names it; a name that would be no variable's, or two projects', is refused."""
    answer = client.post("/ingest/sentry", params={"project": "app"}, content=b"{}")
    assert (answer.status_code, "SOULCASTER_SENTRY_CLIENT_SECRET__APP" in answer.json()["detail"]) == (503, True)
    for name in ("web_shop", "Web-Shop", "web--shop", "a b", "../x"):
        answer = client.post("/ingest/manual", params={"project": name}, content=b"{}")
        assert (answer.status_code, "small letters" in answer.json()["detail"]) == (422, True)
