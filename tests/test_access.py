"""Roles: every deciding step asks for one, people and tokens are given and taken away, and doors stay shut."""

from __future__ import annotations

import contextlib
import functools
import uuid

import pytest

from soulcaster import access, edit, fix, ingest, portfolio, publish, pull, repositories, triage, views
from soulcaster.actors import NEEDED, ROLES, Actor, is_allowed
from soulcaster.configured import SourceOptions
from soulcaster.db import migrate, read
from soulcaster.db.activity import list_activity
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings, check_doors

PROJECT = "acme"
SOME = str(uuid.uuid4())

DECISIONS = {
    "merge": ("edit", functools.partial(edit.merge, clusters=[SOME, SOME])),
    "split": ("edit", functools.partial(edit.split, cluster=SOME, items=[SOME])),
    "move": ("edit", functools.partial(edit.move, item=SOME, cluster=SOME)),
    "exclude": ("edit", functools.partial(edit.exclude, item=SOME, cluster=SOME)),
    "undo": ("edit", functools.partial(edit.undo, edit=SOME)),
    "status": ("decide", functools.partial(triage.set_status, cluster=SOME, status="new")),
    "statuses": ("decide", functools.partial(triage.set_statuses, decisions=[(SOME, "new", "triaged")])),
    "owners": ("decide", functools.partial(triage.set_owners, decisions=[(SOME, "", "x")])),
    "view": ("decide", functools.partial(views.save_view, name="x", filters={"q": ["x"]})),
    "no view": ("decide", functools.partial(views.remove_view, name="y")),
    "next fixes": ("fix", functools.partial(portfolio.begin)),
    "project": ("configure", functools.partial(views.add_project, name="acme")),
    "rename": ("decide", functools.partial(triage.rename, cluster=SOME, title="x")),
    "owner": ("decide", functools.partial(triage.set_owner, cluster=SOME, owner="x")),
    "comment": ("decide", functools.partial(triage.comment, cluster=SOME, text="x")),
    "publish": ("publish", functools.partial(publish.publish, run=SOME)),
    "rollback": ("publish", functools.partial(publish.rollback, run=SOME)),
    "release": ("take in", functools.partial(ingest.release, row=SOME)),
    "fix": ("fix", functools.partial(fix.start, cluster_id=SOME)),
    "approve": ("fix", functools.partial(fix.approve, job_id=SOME)),
    "cancel": ("fix", functools.partial(fix.cancel, job_id=SOME)),
    "repository": ("configure", functools.partial(repositories.change_repository, name="a/b", given={"mode": "?"})),
    "no repository": ("configure", functools.partial(repositories.remove_repository, name="a/b")),
    "stop": ("stop fixes", functools.partial(repositories.turn_switch, name="launching", is_on=False, reason="")),
    "go": ("allow fixes", functools.partial(repositories.turn_switch, name="launching", is_on=True, reason="")),
    "source": ("configure", functools.partial(pull.add_source, kind="github", name="a/b", options=SourceOptions())),
    "no source": ("configure", functools.partial(pull.remove_source, kind="github", name="x/y")),
    "other source": (
        "configure",
        functools.partial(pull.change_source, kind="github", name="x/y", options=SourceOptions(), was=SourceOptions()),
    ),
    "pause": ("configure", functools.partial(pull.pause_source, kind="github", name="x/y", is_paused=True)),
    "person": ("configure", functools.partial(access.add_person, subject="b@example.org", role="viewer")),
    "no person": ("configure", functools.partial(access.remove_person, subject="c@example.org")),
    "token": ("configure", functools.partial(access.add_token, name="x", role="viewer")),
    "no token": ("configure", functools.partial(access.revoke_token, prefix="000000000000")),
}


def _as(role, project: str = PROJECT) -> Actor:
    return Actor("anna@example.org", role=role, project_id=project, how="sign-in")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One empty store for all steps: none of them finds what it is asked to decide about."""
    made = Settings(_env_file=None, home=tmp_path_factory.mktemp("store"))
    migrate(made.duckdb_path)
    return made


@pytest.mark.parametrize("name", DECISIONS)
def test_every_deciding_step_asks_for_its_role(store: Settings, name: str):
    """Below the role the step refuses before it looks at anything; from it on, and on this machine, it goes on."""
    action, decide = DECISIONS[name]
    for role in ROLES:
        for actor in (_as(role), _as(role, "elsewhere")):
            refusal = ""
            try:
                decide(store, PROJECT, actor=actor)
            except PermanentError as error:
                refusal = str(error)
            assert ("needs the role" in refusal) == (not is_allowed(actor, PROJECT, action)), (actor.role, refusal)
            assert is_allowed(actor, PROJECT, action) == (
                actor.project_id == PROJECT and ROLES.index(role) >= ROLES.index(NEEDED[action])
            )
    with contextlib.suppress(PermanentError):  # its own, about what is not there
        decide(store, PROJECT, actor="somebody")
    assert is_allowed("somebody", PROJECT, action)


def test_a_role_is_given_changed_and_taken_away_and_the_log_says_by_whom(settings: Settings):
    """An address counts in any spelling, in its own project only."""
    access.add_person(settings, PROJECT, " Anna@Example.org ", "viewer", actor="root")
    access.add_person(settings, PROJECT, "anna@example.org", "fixer", actor="root")

    found = access.find_actor(settings, PROJECT, "ANNA@example.org")
    assert ("anna@example.org", "fixer") == (found, found.role)
    assert access.find_actor(settings, "elsewhere", "anna@example.org") is None
    assert ["anna@example.org"] == [each.subject for each in access.list_people(settings, PROJECT)]

    access.remove_person(settings, PROJECT, "anna@example.org", actor="root")
    assert access.find_actor(settings, PROJECT, "anna@example.org") is None
    log = read(settings.duckdb_path, lambda con: list_activity(con, PROJECT))
    assert [("root", "person", "anna@example.org")] * 3 == [(r["actor"], r["action"], r["subject"]) for r in log]
    with pytest.raises(PermanentError, match="got nobody"):
        access.remove_person(settings, PROJECT, "anna@example.org", actor="root")


@pytest.mark.parametrize("subject", ["", "two words", "a\nb", "x" * 300])
def test_what_is_no_name_gets_no_role(settings: Settings, subject: str):
    """Spaces, line breaks and endless names are refused in one sentence."""
    with pytest.raises(PermanentError, match="was refused"):
        access.add_person(settings, PROJECT, subject, "viewer", actor="root")


def test_a_token_is_known_by_its_text_alone(settings: Settings):
    """The text opens its project with its role; one character more, less or other opens nothing."""
    token, text = access.add_token(settings, PROJECT, "nightly report", "viewer", actor="root", days=2)
    held = access.authenticate(settings, text)

    assert f"nightly report (token {token.token_id})" == held
    assert ("viewer", PROJECT, "token") == (held.role, held.project_id, held.how)
    other = text[:-1] + ("A" if text[-1] != "A" else "B")
    for wrong in ("", text[:-1], text + "A", other, text.upper(), f"sc_{'0' * 12}_{text[16:]}", token.token_id):
        with pytest.raises(PermanentError, match="got another"):
            access.authenticate(settings, wrong)
    stored = access.list_tokens(settings, PROJECT)
    assert text[16:] not in repr(stored)
    assert text[16:].encode() not in settings.duckdb_path.read_bytes()


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"host": "0.0.0.0"}, "without sign-in"),  # noqa: S104  that is what is refused
        ({"host": "192.0.2.7", "oidc_client_id": "x"}, "by halves"),
        ({"oidc_metadata_url": "https://id.example", "oidc_client_id": "x"}, "OIDC_CLIENT_SECRET"),
        ({}, ""),
        ({"host": "::1"}, ""),
        ({"host": "localhost"}, ""),
        ({"host": "::", "oidc_metadata_url": "u", "oidc_client_id": "x", "oidc_client_secret": "s"}, ""),
    ],
)
def test_others_reach_the_app_only_through_sign_in(given: dict[str, str], refusal: str):
    """A listening address beyond this machine needs all three settings of the sign-in."""
    made = Settings(_env_file=None, **given)
    if refusal:
        with pytest.raises(PermanentError, match=refusal):
            check_doors(made)
    else:
        check_doors(made)
