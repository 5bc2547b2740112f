"""Where the agent runs with these settings, whether it can, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from soulcaster import job_folders
from soulcaster.errors import PermanentError
from soulcaster.fix_models import Launcher
from soulcaster.gemini_client import find_key
from soulcaster.launchers.local import LocalLauncher
from soulcaster.settings import Settings

_PROGRAMS = {"kilo": "kilo", "gemini-cli": "gemini"}
_ECS_NEEDS = ("ecs_region", "ecs_cluster", "ecs_task_definition", "ecs_subnets", "ecs_security_groups", "ecs_bucket")
_GATEWAY_NEEDS = ("ecs_gateway_task_definition", "ecs_gateway_security_groups")

Finding = tuple[Literal["ok", "warn", "fail"], str]


def make_launcher(settings: Settings) -> Launcher:
    """The launcher that the settings choose; asks nobody.

    Raises:
        PermanentError: it is `ecs` and a setting that it needs is empty.
    """
    if settings.launcher == "local":
        return _make_local(settings)
    from soulcaster.launchers.ecs import EcsLauncher
    from soulcaster.launchers.ecs_calls import EcsPlace

    is_apart = settings.ecs_gateway_mode == "task"
    needs = (*_ECS_NEEDS, *(_GATEWAY_NEEDS if is_apart else ()))
    missing = [f"SOULCASTER_{name.upper()}" for name in needs if not getattr(settings, name)]
    if missing:
        raise PermanentError(f"Launching on Fargate needs {', '.join(missing)}: set them; docs/fixes.md says to what.")
    place = EcsPlace(
        region=settings.ecs_region,
        cluster=settings.ecs_cluster,
        task_definition=settings.ecs_task_definition,
        subnets=_split(settings.ecs_subnets),
        security_groups=_split(settings.ecs_security_groups),
        bucket=settings.ecs_bucket,
        prefix=settings.ecs_prefix,
        is_spot=settings.ecs_spot,
        has_public_ip=settings.ecs_public_ip,
        log_group=settings.ecs_log_group,
        gateway_task_definition=settings.ecs_gateway_task_definition if is_apart else "",
        gateway_security_groups=_split(settings.ecs_gateway_security_groups) if is_apart else (),
    )
    return EcsLauncher(place, model_url=settings.agent_model_url)


def check_ready(settings: Settings) -> None:
    """Whether fixes can run at all with these settings.

    Raises:
        PermanentError: key, script or program of the chosen tool is missing, a sandbox is required and does not
            work, or the place is not fully named; says what to do.
    """
    if settings.agent_tool == "scripted":
        job_folders.read_script(settings)
    if settings.launcher == "ecs":
        make_launcher(settings)  # key and programs are in the task definition and its image
        return
    launcher = _make_local(settings)
    if settings.agent_tool != "scripted":
        if not find_key(settings.gemini_api_key):
            raise PermanentError(
                f"Fixing with {settings.agent_tool!r} needs a model: set SOULCASTER_GEMINI_API_KEY (it goes to the "
                "gateway only), or SOULCASTER_AGENT_TOOL=scripted with SOULCASTER_AGENT_SCRIPT to try without one."
            )
        if not (launcher.tools / "node_modules" / ".bin" / _PROGRAMS[settings.agent_tool]).exists():
            raise PermanentError(
                f"Fixing with {settings.agent_tool!r} needs the program: expected it in {str(launcher.tools)!r}, got "
                "none; run `make tools`."
            )
    if settings.agent_sandbox == "require":
        launcher.find_sandbox()


def examine_place(settings: Settings) -> Iterator[Finding]:
    """State and sentence on the place where the agent would run; of AWS only what can be read for free is asked."""
    try:
        check_ready(settings)
        if settings.launcher == "ecs":
            from soulcaster.launchers.ecs import EcsLauncher
            from soulcaster.launchers.ecs_checks import examine

            launcher = make_launcher(settings)
            assert isinstance(launcher, EcsLauncher)  # noqa: S101  the setting says so; tells the type checker
            yield from examine(launcher.place)
            return
        sandbox, why = _make_local(settings).find_sandbox()
    except PermanentError as error:
        yield "warn", str(error)
        return
    held = "bubblewrap holds it" if sandbox == "bwrap" else f"nothing holds it ({why})"
    yield "ok" if sandbox == "bwrap" else "warn", f"the agent {settings.agent_tool} can run here; {held}."


def _make_local(settings: Settings) -> LocalLauncher:
    return LocalLauncher(
        model_url=settings.agent_model_url, model_key=settings.gemini_api_key, sandbox=settings.agent_sandbox
    )


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
