"""A flow works only in a store that its worker's version fits."""

from __future__ import annotations

import pytest

from soulcaster import db
from soulcaster.errors import PermanentError
from tasks.naming import open_project


def test_a_worker_older_than_its_store_stops_before_the_first_step(settings):
    """After an upgrade of app or commands the worker that was not restarted says so instead of working on."""
    assert open_project(None) == "default"
    assert open_project("shop") == "shop"
    db.write(
        settings.duckdb_path,
        lambda con: con.execute("INSERT INTO schema_migrations VALUES ('9999_tomorrow.sql', now())"),
    )

    with pytest.raises(PermanentError, match=r"update and restart this part \(worker"):
        open_project(None)
