"""OpenTelemetry spans of steps, sent by OTLP over HTTP when SOULCASTER_TRACES_URL names a collector.

Off, a span is a look at a variable: OpenTelemetry's SDK is imported by the first span of a process that sends some.
Spans carry ids and durations, never words of items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from soulcaster import logs

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

P = ParamSpec("P")
R = TypeVar("R")
_urls: list[str] = []


def configure(url: str) -> None:
    """Send spans to the collector at this base address from now on; '' sends none. Opens nothing yet."""
    _urls[:] = [url.rstrip("/")] if url else []


@contextmanager
def span(name: str, **ids: str) -> Iterator[None]:
    """A span of this name while the block lasts, within the one around it; log lines carry the same ids.

    An exception marks it as failed, by its type alone: messages may quote what came from outside.
    """
    with logs.bound(**ids):
        if not _urls:
            yield
            return
        with _tracer(_urls[0]).start_as_current_span(
            name, attributes={f"soulcaster.{key}": value for key, value in ids.items()}, record_exception=False,
            set_status_on_exception=False,
        ) as current:  # fmt: skip
            try:
                yield
            except BaseException as error:
                from opentelemetry.trace import Status, StatusCode

                current.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise


def traced(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of a step, `step(settings, project_id, …)`: a span with its project."""

    def decorate(step: Callable[P, R]) -> Callable[P, R]:
        @wraps(step)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            project = args[1] if len(args) > 1 else kwargs.get("project_id", "")
            with span(name, project=str(project)):
                return step(*args, **kwargs)

        return run

    return decorate


@cache
def _tracer(url: str) -> Tracer:
    """One exporter a process; what waits is sent when the process ends."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "soulcaster"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
    trace.set_tracer_provider(provider)
    return provider.get_tracer("soulcaster")
