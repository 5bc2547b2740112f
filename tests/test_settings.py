"""Settings as a long process loads them: kept while nothing changed, new as soon as something did."""

from __future__ import annotations

import pytest

from soulcaster.errors import PermanentError
from soulcaster.settings import load_settings


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.delenv("SOULCASTER_APP_PORT", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_same_settings_are_kept():
    """The screens ask a dozen times a page; parsing them anew each time took most of a page's time."""
    assert load_settings() is load_settings()


def test_a_changed_variable_or_file_is_seen_at_the_next_load(tmp_path, monkeypatch):
    """Nobody has to start the app again after a change of `.env`, of a variable or of the folder."""
    assert 8501 == load_settings().app_port

    (tmp_path / ".env").write_text("SOULCASTER_APP_PORT=9000\n")
    assert 9000 == load_settings().app_port

    (tmp_path / ".env").write_text("SOULCASTER_APP_PORT=10000\n")
    assert 10_000 == load_settings().app_port

    monkeypatch.setenv("SOULCASTER_APP_PORT", "9001")
    assert 9001 == load_settings().app_port

    (tmp_path / "other").mkdir()
    monkeypatch.delenv("SOULCASTER_APP_PORT")
    monkeypatch.chdir(tmp_path / "other")
    assert 8501 == load_settings().app_port


def test_a_refused_value_is_refused_each_time(monkeypatch):
    """What went wrong once is not taken for right the second time."""
    monkeypatch.setenv("SOULCASTER_APP_PORT", "many")

    for _ in range(2):
        with pytest.raises(PermanentError, match="SOULCASTER_APP_PORT"):
            load_settings()


@pytest.mark.parametrize(
    "store", ["quack:db:9494", "ducklake:postgres:host=db password=hidden", "md:team", "other.duckdb"]
)
def test_a_store_that_is_not_the_file_of_the_home_is_refused_at_start(monkeypatch, store):
    """Nobody believes to work on a server while a file is written; what was given may hold a password and stays out."""
    monkeypatch.setenv("SOULCASTER_DUCKDB", store)

    with pytest.raises(PermanentError, match=r"SOULCASTER_DUCKDB.*docs/scale\.md") as refused:
        load_settings()

    assert store not in str(refused.value)


def test_the_file_of_the_home_may_be_named(tmp_path, monkeypatch):
    """Written out, relative or whole, it is the same store."""
    monkeypatch.setenv("SOULCASTER_HOME", "home")
    for named in ("home/soulcaster.duckdb", str(tmp_path / "home" / "soulcaster.duckdb")):
        monkeypatch.setenv("SOULCASTER_DUCKDB", named)

        assert (tmp_path / "home" / "soulcaster.duckdb") == load_settings().duckdb_path.resolve()
