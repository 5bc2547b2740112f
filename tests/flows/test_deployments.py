"""prefect.yaml and the flow files agree, so that nothing is found out only when a run is due."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from pydantic import BaseModel, ValidationError

from tasks import policies

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS: list[dict[str, Any]] = CONFIG["deployments"]
by_deployment = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])


def load_flow(deployment: dict[str, Any]) -> Flow[Any, Any]:
    """The flow behind the entrypoint, imported as the worker names it."""
    path, _, name = deployment["entrypoint"].partition(":")
    flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
    assert isinstance(flow, Flow)
    return flow


@by_deployment
def test_entrypoint_imports_and_carries_the_deployments_name(deployment: dict[str, Any]):
    """File, flow and deployment share one name, and the file is there."""
    path, _, name = deployment["entrypoint"].partition(":")
    assert {Path(path).stem, name, load_flow(deployment).name} == {deployment["name"]}
    assert (ROOT / path).is_file()


@by_deployment
def test_default_parameters_validate_and_are_all_known(deployment: dict[str, Any]):
    """An invalid default would silently fall back to the model's (Prefect #16184), an unknown key would be dropped."""
    flow = load_flow(deployment)
    [model] = flow.validate_parameters(deployment["parameters"]).values()
    assert isinstance(model, BaseModel)
    given = deployment["parameters"]["params"]
    assert set(given) <= set(type(model).model_fields)
    assert {key: getattr(model, key) for key in given} == given


@by_deployment
def test_every_field_of_the_form_is_described_and_bounded(deployment: dict[str, Any]):
    """The form shows help for each field; a free string has a length, and no choice has one value only (#18648)."""
    model = load_flow(deployment).validate_parameters({})["params"]
    schema = type(model).model_json_schema()
    for name, field in schema["properties"].items():
        assert field.get("description"), name
        kinds = field.get("anyOf", [field])
        for kind in kinds:
            assert "const" not in kind, name
            if kind.get("type") == "string" and not {"enum", "format"} & set(kind):
                assert "maxLength" in kind, name


@by_deployment
def test_deployment_runs_in_our_pool_one_at_a_time_with_short_heartbeats(deployment: dict[str, Any]):
    """A default heartbeat of 180 s under a 90 s zombie window would crash healthy runs."""
    assert deployment["work_pool"]["name"] == policies.WORK_POOL
    assert deployment["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    # A fix that waits for a person must not hold up the next one, runs of a backfill share its windows.
    limit = 4 if deployment["name"] in ("fix", "backfill") else 1
    assert deployment["concurrency_limit"] == {"limit": limit, "collision_strategy": "ENQUEUE"}
    assert deployment["description"]
    assert "soulcaster" in deployment["tags"]


@by_deployment
def test_schedules_are_ones_that_prefect_accepts(deployment: dict[str, Any]):
    """Each deployment has a schedule that parses; only what a person decides has none."""
    assert deployment["schedules"] or deployment["name"] in ("publish", "fix", "backfill")
    for schedule in deployment["schedules"]:
        made = (
            CronSchedule(cron=schedule["cron"], timezone="UTC")
            if "cron" in schedule
            else IntervalSchedule(interval=schedule["interval"])
        )
        assert DeploymentScheduleCreate(schedule=made, slug=schedule["slug"]).active is not False
        load_flow(deployment).validate_parameters(schedule.get("parameters", {}))


def test_every_flow_file_is_deployed_and_short():
    """No flow is forgotten in prefect.yaml, and each fits its 60 lines."""
    files = {path for path in (ROOT / "flows").glob("*.py") if path.name != "__init__.py"}
    assert {path.stem for path in files} == {deployment["name"] for deployment in DEPLOYMENTS}
    assert {path.name for path in files if len(path.read_text().splitlines()) >= 60} == set()


def test_file_name_of_an_export_cannot_leave_its_folder():
    """The form of `export` refuses paths, hidden files and endings that name no format."""
    model = importlib.import_module("flows.export").ExportParams
    assert model(file_name="clusters.csv").file_name == "clusters.csv"
    for bad in ("../items.csv", "/srv/items.csv", ".items.csv", "items.exe", "a/b.csv", "items.csv\n"):
        with pytest.raises(ValidationError):
            model(file_name=bad)
