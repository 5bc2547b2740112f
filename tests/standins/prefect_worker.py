"""A stand-in for Prefect and its worker on loopback: takes the app's requests and does the work itself, at once.

Speaks the few endpoints that the app asks. What a deployment does is a function of the test, run in a thread, so a run
is first RUNNING and then COMPLETED or FAILED, as the app sees it with a real worker.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Work = Callable[[dict[str, Any]], object]


class PrefectWorker:
    """What was started, and where it stands. `works` maps the name of a deployment to what it does."""

    def __init__(self, works: dict[str, Work]) -> None:
        self.works = works
        self.url = ""
        self.runs: dict[str, dict[str, Any]] = {}
        self.threads: list[threading.Thread] = []

    def start(self, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """A run of the deployment, which begins at once."""
        run = {
            "id": str(uuid.uuid4()), "name": f"{name}-run", "deployment_id": name, "state_name": "Running",
            "state_type": "RUNNING", "start_time": None, "total_run_time": 0.1, "parameters": parameters,
        }  # fmt: skip
        self.runs[run["id"]] = run
        thread = threading.Thread(target=self._work, args=(name, run), daemon=True)
        self.threads.append(thread)
        thread.start()
        return run

    def _work(self, name: str, run: dict[str, Any]) -> None:
        end = "FAILED"
        try:
            self.works[name](run["parameters"]["params"])
            end = "COMPLETED"
        finally:
            run.update(state_name=end.capitalize(), state_type=end)

    def answer(self, path: str, body: dict[str, Any]) -> object:
        """What Prefect would say; None for 404."""
        parts = path.removeprefix("/api").strip("/").split("/")
        match parts:
            case ["deployments", "filter"]:
                return [{"id": name, "name": name, "paused": False, "status": "READY"} for name in self.works]
            case ["deployments", "name", _, name] if name in self.works:
                return {"id": name}
            case ["deployments", name, "create_flow_run"]:
                return self.start(name, body["parameters"])
            case ["flow_runs", "filter"]:
                is_planned = "any_" in body["flow_runs"].get("state", {}).get("name", {})
                return [] if is_planned else list(self.runs.values())[::-1]
            case ["flow_runs", run_id]:
                return self.runs.get(run_id)
        return None


@contextmanager
def running_worker(works: dict[str, Work]) -> Iterator[PrefectWorker]:
    """A started stand-in; with the block it ends, after its work has."""
    state = PrefectWorker(works)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(state.answer(self.path, {}))

        def do_POST(self) -> None:
            self._say(state.answer(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def _say(self, found: object) -> None:
            raw = json.dumps(found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/api"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        for each in [thread, *state.threads]:
            each.join(timeout=60)
