"""Events about what people should hear of; automations of the Prefect server pass them on (`infra/prefect`)."""

from __future__ import annotations

from prefect import task
from prefect.events import emit_event

from soulcaster.notices import Notice
from soulcaster.settings import load_settings
from tasks import policies


@task(name="tell", **policies.patient())
def tell(project: str) -> int:
    """How many things were told."""
    from soulcaster.notices import tell_new

    def emit(notice: Notice) -> None:
        emit_event(
            event=f"soulcaster.{notice.kind}",
            resource={"prefect.resource.id": f"soulcaster.{notice.kind}.{project}", "soulcaster.key": notice.key},
            payload={"message": notice.message, "link": notice.link},
        )

    return len(tell_new(load_settings(), project, emit))
