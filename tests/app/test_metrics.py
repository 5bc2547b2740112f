"""Metrics: what a monitoring system reads, by whom, and what it is told when the store is busy."""

from __future__ import annotations

import fcntl

import grouping_store as made
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.webhook import make_app
from soulcaster.db import write
from soulcaster.recluster import recluster
from soulcaster.sources import inbox

NEAR, FAR = ("127.0.0.1", 5000), ("10.0.0.9", 5000)


@pytest.fixture
def own(settings):
    """A store with one cluster of two items and one item beside it."""
    own = settings.model_copy(update={"embedder": "static"})
    rows = [made.row(f"login-{n}", f"login broken {n}", "It does not work.") for n in range(2)]
    rows.append(made.row("alone", "something else", "entirely", source="reddit"))
    made.add_items(own, rows)
    made.add_vectors(own, [str(row["content_hash"]) for row in rows], np.array([[1, 0.1, 0], [1, 0, 0], [0, 0, 1.0]]))
    recluster(own, made.PROJECT)
    return own


def scrape(settings, client=NEAR, **headers: str) -> dict[tuple[str, ...], float]:
    """Values by name and label values."""
    with TestClient(make_app(settings), client=client) as http:
        answer = http.get("/metrics", headers=headers)
    assert 200 == answer.status_code, answer.text
    return {
        (sample.name.removeprefix("soulcaster_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_gauges_tell_of_items_groups_inbox_and_store(own):
    """Figures of the store by project and source, and those that need no store."""
    inbox.append(own.inbox_path, "manual", b"{}", "one", {})

    found = scrape(own)

    assert (2, 1) == (found["items", "acme", "github"], found["items", "acme", "reddit"])
    assert 1 == found["clusters", "acme", "new"]
    assert 1 / 3 == pytest.approx(found["noise_share", "acme"])
    assert (1, 1) == (found["inbox_deliveries",], found["store_up",])
    assert (0, 0) == (found["run_new_items", "acme"], found["proposal_waits", "acme"])
    assert found["store_bytes",] > 0


def test_items_after_the_grouping_and_a_waiting_proposal_are_seen(own):
    """What came since counts; a newer grouping that is not on show is a proposal."""
    made.add_items(own, [made.row("late", "late one")])
    strict = own.model_copy(update={"auto_publish_max_churn": 0.0, "min_cluster_size": 3})
    recluster(strict, made.PROJECT)

    found = scrape(own)

    assert 1 == found["proposal_waits", "acme"]
    assert found["run_churn_share", "acme"] > 0


def test_a_busy_store_costs_its_figures_and_is_told(own):
    """The answer comes all the same, with store_up 0."""
    hasty = own.model_copy(update={"lock_timeout_seconds": 0.2})
    with open(f"{own.duckdb_path}.lock", "a") as lock:  # noqa: PTH123  flock wants the descriptor
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = scrape(hasty)

    assert 0 == found["store_up",]
    assert not [key for key in found if key[0] == "items"]


@pytest.mark.parametrize(("client", "headers"), [(FAR, {}), (NEAR, {"X-Forwarded-For": "203.0.113.7"})])
def test_without_a_token_only_this_machine_is_answered(own, client, headers):
    """Another host, or one behind a proxy of this machine, gets 403 and the setting's name."""
    with TestClient(make_app(own), client=client) as http:
        answer = http.get("/metrics", headers=headers)

    assert 403 == answer.status_code
    assert "SOULCASTER_METRICS_TOKEN" in answer.text


def test_with_a_token_only_its_holder_is_answered(own):
    """From wherever; a wrong one gets 401, also on this machine."""
    closed = own.model_copy(update={"metrics_token": SecretStr("s3cret")})

    assert 1 == scrape(closed, FAR, Authorization="Bearer s3cret")["store_up",]
    with TestClient(make_app(closed), client=NEAR) as http:
        assert 401 == http.get("/metrics").status_code
        assert 401 == http.get("/metrics", headers={"Authorization": "Bearer other"}).status_code


def test_health_tells_a_living_process_from_one_that_can_work(own):
    """Live whatever is; ready only with a store of our schema that can be read, and room; no path is told."""
    with TestClient(make_app(own), client=FAR) as http:
        assert (200, 200) == (http.get("/health/live").status_code, http.get("/health/ready").status_code)
        with open(f"{own.duckdb_path}.lock", "a") as lock:  # noqa: PTH123  flock wants the descriptor
            fcntl.flock(lock, fcntl.LOCK_EX)
            busy = http.get("/health/ready")
        assert (503, {"store": "not ready", "inbox": "ok", "disk": "ok"}) == (busy.status_code, busy.json())
        write(
            own.duckdb_path, lambda con: con.execute("INSERT INTO schema_migrations VALUES ('9999_later.sql', now())")
        )
        assert "not ready" == http.get("/health/ready").json()["store"]
        assert str(own.home) not in http.get("/health/ready").text
    full = own.model_copy(update={"receiver_min_free_bytes": 10**18})
    with TestClient(make_app(full)) as http:
        assert "not ready" == http.get("/health/ready").json()["disk"]
        assert 200 == http.get("/health/live").status_code
