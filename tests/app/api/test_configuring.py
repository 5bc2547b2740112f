"""What an admin's token configures by HTTP: sources, under its name, on the state it saw."""

from __future__ import annotations

from seeding import PROJECT

from soulcaster.db import read
from soulcaster.db.activity import list_activity

PATH = "/v1/config/sources/github:acme/notes"


def bearer(token: str, **more: str) -> dict[str, str]:
    """Headers of a token's holder."""
    return {"Authorization": f"Bearer {token}", **more}


def test_a_source_is_added_changed_paused_and_removed(api, tokens, home):
    """Each step shows the state it saw; the list follows, and the log names the token."""
    token = tokens["admin"]
    added = api.put(PATH, json={"options": {"labels": ["bug"], "token_variable": "ACME"}}, headers=bearer(token))
    assert 201 == added.status_code, added.text
    blind = api.put(PATH, json={}, headers=bearer(token))
    tag = api.get(PATH, headers=bearer(token)).headers["etag"]
    wish = {"options": {"token_variable": "ACME"}, "is_paused": True}
    changed = api.put(PATH, json=wish, headers=bearer(token, **{"If-Match": tag}))
    late = api.delete(PATH, headers=bearer(token, **{"If-Match": tag}))
    listed = api.get("/v1/config/sources", headers=bearer(token)).json()["sources"]
    gone = api.delete(PATH, headers=bearer(token, **{"If-Match": changed.headers["etag"]}))

    assert (201, 428, 200, 412, 204) == tuple(a.status_code for a in (added, blind, changed, late, gone))
    assert (["bug"], "ACME") == (added.json()["options"]["labels"], added.json()["options"]["token_variable"])
    [source] = [source for source in listed if source["name"] == "acme/notes"]
    assert ([], True) == (source["options"]["labels"], source["is_paused"])
    assert 404 == api.get(PATH, headers=bearer(token)).status_code
    log = read(home.duckdb_path, lambda con: list_activity(con, PROJECT, limit=20))
    assert all(row["actor"].startswith("admin of tests (token ") for row in log if "source" in row["action"])
    assert any("source" in row["action"] for row in log)


def test_only_an_admin_configures_and_what_cannot_be_is_refused_in_a_sentence(api, tokens):
    """Other roles get 403; a name or option that the kind has not is named."""
    for role in ("viewer", "triager", "fixer"):
        assert 403 == api.put(PATH, json={}, headers=bearer(tokens[role])).status_code
    unknown = api.put("/v1/config/sources/myspace:me", json={}, headers=bearer(tokens["admin"]))
    foreign = api.put(PATH, json={"options": {"levels": ["error"]}}, headers=bearer(tokens["admin"]))

    assert 422 == unknown.status_code
    assert "expected 'kind:name'" in unknown.json()["detail"]
    assert 409 == foreign.status_code
    assert "no option 'levels'" in foreign.json()["detail"]
