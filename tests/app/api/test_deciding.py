"""What tokens decide by HTTP: by their role, on the state they saw, each decision under their name."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from seeding import PROJECT

from app.api import make_api
from soulcaster import edit
from soulcaster.access import add_token
from soulcaster.actors import NEEDED, ROLES
from soulcaster.db import read, repositories, runs, write
from soulcaster.db.activity import list_activity
from soulcaster.fix_models import Repository
from soulcaster.models import ChurnReport
from soulcaster.settings import Settings


def _bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **more}


def _clusters(api: TestClient, token: str) -> list[str]:
    rows = api.get("/v1/clusters", params={"limit": 200}, headers=_bearer(token)).raise_for_status().json()["rows"]
    return [row["cluster_id"] for row in rows]


def _tag(api: TestClient, token: str, cluster_id: str) -> str:
    return str(api.get(f"/v1/clusters/{cluster_id}", headers=_bearer(token)).raise_for_status().headers["etag"])


def test_a_decision_is_made_under_the_name_of_the_token(api, tokens, home: Settings):
    """Status, merge and split change what is on show, and the log names the token."""
    token = tokens["triager"]
    one, two, *_ = _clusters(api, token)
    ignored = api.post(
        f"/v1/clusters/{one}/status", json={"status": "ignored", "until_items": 9999, "reason": "later"},
        headers=_bearer(token, **{"If-Match": _tag(api, token, one)}),
    )  # fmt: skip
    assert ("ignored", 9999) == (ignored.json()["status"], ignored.json()["wakes_at"])
    assert ignored.headers["etag"] == _tag(api, token, one)

    merged = api.post(
        f"/v1/clusters/{one}/merge", json={"clusters": [two]}, headers=_bearer(token, **{"If-Match": "*"})
    )
    assert "merge" == merged.raise_for_status().json()["kind"]
    [kept] = {one, two} & set(_clusters(api, token))

    items = api.get("/v1/items", params={"cluster_id": kept}, headers=_bearer(token)).json()["rows"]
    out = [row["item_id"] for row in items[:3]]
    split = api.post(
        f"/v1/clusters/{kept}/split", json={"items": out, "reason": "another"},
        headers=_bearer(token, **{"If-Match": _tag(api, token, kept)}),
    )  # fmt: skip
    assert 3 == split.raise_for_status().json()["n_moved"] or split.json()["n_moved"] == len(items) - 3

    log = read(home.duckdb_path, lambda con: list_activity(con, PROJECT, limit=100))
    by = {row["action"]: row["actor"] for row in log}
    assert {"status", "merge", "split"} <= set(by)
    assert by["merge"].startswith("triager of tests (token ")


def test_nobody_overwrites_what_they_have_not_seen(api, tokens, home: Settings):
    """No If-Match is 428, an old one 412, and nothing is changed by either."""
    token = tokens["triager"]
    one, two, three, *_ = _clusters(api, token)
    old = _tag(api, token, one)
    path = f"/v1/clusters/{one}/status"
    blind = api.post(path, json={"status": "triaged"}, headers=_bearer(token))
    edit.merge(home, PROJECT, [one, two], actor="anna")
    late = api.post(path, json={"status": "triaged"}, headers=_bearer(token, **{"If-Match": old}))
    untouched = api.post(
        f"/v1/clusters/{three}/status", json={"status": "triaged"},
        headers=_bearer(token, **{"If-Match": _tag(api, token, three)}),
    )  # fmt: skip

    assert (428, 412, 200) == (blind.status_code, late.status_code, untouched.status_code)
    assert "triaged" != api.get(f"/v1/clusters/{one}", headers=_bearer(token)).json()["status"]


def test_a_waiting_run_is_shown_once(api, tokens, home: Settings):
    """Publishing shows the run; doing it again is a conflict in one sentence."""
    proposal = str(uuid.uuid4())

    def propose(con) -> None:
        shown = runs.find_published_run(con, PROJECT)
        con.execute(
            "INSERT INTO runs SELECT * REPLACE ($1::UUID AS run_id, now() AS created_at) FROM runs WHERE run_id = $2",
            [proposal, shown],
        )
        con.execute(
            "INSERT INTO run_clusters SELECT * REPLACE ($1::UUID AS run_id) FROM run_clusters WHERE run_id = $2",
            [proposal, shown],
        )
        runs.add_proposal(con, PROJECT, proposal, ChurnReport(), kind="refit", actor="recluster", base_run_id=shown)

    write(home.duckdb_path, propose)
    path = f"/v1/runs/{proposal}/publish"
    shown = api.post(path, json={}, headers=_bearer(tokens["triager"]))
    again = api.post(path, json={}, headers=_bearer(tokens["triager"]))

    assert ("shown", "triager of tests") == (shown.json()["state"], shown.json()["published_by"].split(" (")[0])
    assert 409 == again.status_code
    assert "it is the one on show" in again.json()["detail"]


def test_each_decision_needs_its_role_and_each_role_is_enough_for_its_own(api, tokens):
    """Every writing path with every role: 403 below the bound, another answer from it on."""
    some = str(uuid.uuid4())
    writes = {
        f"/v1/clusters/{some}/status": ("decide", {"status": "triaged"}),
        f"/v1/clusters/{some}/merge": ("edit", {"clusters": [some]}),
        f"/v1/clusters/{some}/split": ("edit", {"items": [some, some]}),
        f"/v1/clusters/{some}/fix": ("fix", {}),
        f"/v1/runs/{some}/publish": ("publish", {}),
    }
    described = [path for path, ways in api.get("/v1/openapi.json").json()["paths"].items() if "post" in ways]
    assert len(described) == len(writes)
    for path, (action, body) in writes.items():
        for role in ROLES:
            status = api.post(path, json=body, headers=_bearer(tokens[role])).status_code
            is_enough = ROLES.index(role) >= ROLES.index(NEEDED[action])
            assert (404 if is_enough else 403) == status, (path, role)


def test_a_token_of_another_project_sees_and_changes_nothing_here(api, tokens, home: Settings):
    """The token names the project: lists are empty, ids of this one unknown."""
    cluster_id = _clusters(api, tokens["viewer"])[0]
    _, other = add_token(home, "elsewhere", "a stranger", "admin", actor="tests")

    assert [] == _clusters(api, other)
    assert 404 == api.get(f"/v1/clusters/{cluster_id}", headers=_bearer(other)).status_code
    for path, body in (
        (f"/v1/clusters/{cluster_id}/status", {"status": "fixed"}),
        (f"/v1/clusters/{cluster_id}/fix", {}),
    ):
        assert 404 == api.post(path, json=body, headers=_bearer(other, **{"If-Match": "*"})).status_code


def test_a_fix_that_cannot_start_says_why(home: Settings, tokens):
    """Not ready is a conflict with the sentence that says what to set; no job is left behind."""
    with TestClient(make_api(home)) as api:
        cluster_id = _clusters(api, tokens["fixer"])[0]
        answer = api.post(f"/v1/clusters/{cluster_id}/fix", json={}, headers=_bearer(tokens["fixer"]))

        assert 409 == answer.status_code
        assert "SOULCASTER_GEMINI_API_KEY" in answer.json()["detail"]
        assert [] == api.get("/v1/jobs", headers=_bearer(tokens["viewer"])).json()["rows"]


def test_a_plan_is_read_changed_and_given(home: Settings, tokens, tmp_path: Path):
    """What a fix would begin with is read by any role; what a fixer sends with the fix is what the job keeps."""
    (tmp_path / "script.json").write_text("{}")
    ready = home.model_copy(update={"agent_tool": "scripted", "agent_script": tmp_path / "script.json"})
    repository = Repository(name="acme/notes", mode="draft", token_variable="NOTES_TOKEN", test=["true"])
    now = datetime.now(UTC)
    write(home.duckdb_path, lambda con: repositories.save_repository(con, PROJECT, repository, actor="ann", now=now))
    with TestClient(make_api(ready)) as api:
        cluster_id = _clusters(api, tokens["viewer"])[0]
        path, viewer = f"/v1/clusters/{cluster_id}", _bearer(tokens["viewer"])
        before = api.get(f"{path}/plan", headers=viewer)
        long = api.post(f"{path}/fix", json={"plan": "x" * 4001}, headers=_bearer(tokens["fixer"]))
        wish = {"plan": "Only the export.", "repository": "acme/notes"}
        job = api.post(f"{path}/fix", json=wish, headers=_bearer(tokens["fixer"])).raise_for_status().json()
        after = api.get(f"{path}/plan", headers=viewer)
        nobodys = api.get(f"/v1/clusters/{uuid.uuid4()}/plan", headers=viewer)

    assert {"cluster_id": cluster_id, "text": "", "job_id": None} == before.json()
    assert (422, 404) == (long.status_code, nobodys.status_code)
    assert {"cluster_id": cluster_id, "text": "Only the export.", "job_id": job["job_id"]} == after.json()
    assert before.headers["etag"] != after.headers["etag"]


def test_bodies_are_bounded_and_other_methods_refused(home: Settings, tokens):
    """Too long, without a length, and a method that is none: refused before anything is read, as problem+json."""
    path, headers = f"/v1/clusters/{uuid.uuid4()}/split", _bearer(tokens["triager"])
    with TestClient(make_api(home.model_copy(update={"receiver_max_bytes": 100}))) as api:
        long = api.post(path, content=b" " * 101, headers=headers)
        endless = api.post(path, content=iter([b"{", b"}"]), headers=headers)
        other = api.put("/v1/clusters", headers=headers)
        nothing = api.get("/v1/nothing", headers=headers)
        bare = api.post(path, content=b'{"items": []}', headers={**headers, "Content-Type": "text/plain"})

    assert (413, 411, 405) == (long.status_code, endless.status_code, other.status_code)
    assert "There is no PUT /v1/clusters; /api/v1/openapi.json describes what there is." == other.json()["detail"]
    assert (404, "There is no GET /v1/nothing;") == (nothing.status_code, nothing.json()["detail"].split(" /api")[0])
    assert (422, "application/json.") == (bare.status_code, bare.json()["detail"].split()[-1])
    assert {"application/problem+json"} == {each.headers["content-type"] for each in (long, endless, other)}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"status": "deleted"}', b'{"status": "new", "extra": 1}'])
def test_a_malformed_body_is_one_sentence(api, tokens, body: bytes):
    """What does not fit is 422 as problem+json and names the field."""
    cluster_id = _clusters(api, tokens["triager"])[0]
    headers = _bearer(tokens["triager"], **{"If-Match": "*", "Content-Type": "application/json"})

    answer = api.post(f"/v1/clusters/{cluster_id}/status", content=body, headers=headers)

    assert (422, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert "'body" in answer.json()["detail"]
