"""OpenTelemetry spans reach a collector with ids and without words; switched off they cost nothing."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from standins.wire_server import Answer, Wire, running

ROOT = Path(__file__).resolve().parents[1]

STEPS = """
import sys
from soulcaster.errors import PermanentError
from soulcaster.retain import retain
from soulcaster.settings import load_settings
from soulcaster.traces import span
settings = load_settings()
retain(settings, "acme")
try:
    with span("outer", project="acme"), span("inner", item_id="i1"):
        raise PermanentError("canary words of an item")
except PermanentError:
    pass
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))])
"""


def run(url: str, home: Path) -> str:
    """What a process prints that runs a step and two spans of which one fails."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SOULCASTER_HOME": str(home)}
    env["SOULCASTER_TRACES_URL"] = url
    done = subprocess.run([sys.executable, "-c", STEPS], env=env, capture_output=True, text=True, check=False, cwd=home)
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


def test_spans_of_steps_reach_the_collector_nested_and_without_words(settings):
    """Names, parents, ids and the type of an error are told; its message is not."""
    wire = Wire()
    with running(lambda _request: Answer(raw=b""), wire):
        run(wire.url, settings.home)

    bodies = [gzip.decompress(each.body) if each.body[:2] == b"\x1f\x8b" else each.body for each in wire.requests]
    assert {"/v1/traces"} == set(wire.paths())
    assert b"canary" not in b"".join(bodies)
    spans = {
        span.name: span
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    assert {"retain", "outer", "inner"} == set(spans)
    assert spans["inner"].parent_span_id == spans["outer"].span_id
    assert "PermanentError" == spans["inner"].status.message
    told = {each.key: each.value.string_value for each in spans["inner"].attributes}
    assert {"soulcaster.item_id": "i1"} == told


def test_switched_off_nothing_is_sent_and_nothing_imported(settings):
    """Neither SDK nor exporter is in the process."""
    assert "[]" == run("", settings.home)
