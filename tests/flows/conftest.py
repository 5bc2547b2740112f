"""One real Prefect server for the whole session; flows called in a test report to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect_server import PrefectServer, running_server


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """The session's server."""
    with (
        running_server(tmp_path_factory.mktemp("prefect")) as server,
        temporary_settings({PREFECT_API_URL: server.api_url, PREFECT_HOME: server.home}),
    ):
        yield server
        APILogWorker.drain_all(timeout=10)  # while there still is a server to take the last lines
