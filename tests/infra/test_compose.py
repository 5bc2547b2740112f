"""infra/compose without an engine: the compose file by its schema, its names by what they name, the proxy for real."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.settings.legacy import _get_settings_fields
from prefect.settings.models.root import Settings as PrefectSettings
from prefect_server import free_port
from standins.wire_server import Answer, Wire, running

from app.webhook import make_app
from soulcaster.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "infra" / "compose"
TEXT = (FOLDER / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if "SOULCASTER_IMAGE" in service["image"]}
OF_OTHERS = {
    "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE",  # the image of PostgreSQL
    "FORWARDED_ALLOW_IPS",  # uvicorn
    "SOULCASTER_SITE",  # our Caddyfile
}  # fmt: skip


def test_the_file_is_one_of_compose():
    """The compose specification's own schema takes it."""
    command = [ROOT / ".venv" / "bin" / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, FOLDER / "compose.yaml"], capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout


def test_every_variable_is_a_real_setting():
    """Names of variables and of secrets are fields of our settings or Prefect's, or of the few programs beside."""
    real = {f"SOULCASTER_{name.upper()}" for name in Settings.model_fields}
    real |= set(_get_settings_fields(PrefectSettings)) | OF_OTHERS
    used = {name for service in SERVICES.values() for name in service.get("environment", {})}

    assert set() == (used | set(COMPOSE["secrets"])) - real
    assert len(used) > 15


def test_what_is_left_open_is_in_the_example():
    """Every ${NAME} of the file is explained in env.example, and the example has no other."""
    asked = set(re.findall(r"\$\{(\w+)", TEXT))
    explained = set(re.findall(r"(?m)^#? ?([A-Z_]+)=", (FOLDER / "env.example").read_text()))

    assert asked == explained


def test_secrets_are_files_and_nobody_gets_another_ones():
    """No secret stands in the environment; each is given to the services that need it alone."""
    secret = {
        f"SOULCASTER_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if "Secret" in str(field.annotation)
    }
    used = {name for service in SERVICES.values() for name in service.get("environment", {})}
    given = {name: set(service.get("secrets", [])) for name, service in SERVICES.items()}

    assert set() == used & secret
    assert {"PREFECT_SERVER_DATABASE_PASSWORD"} == given["postgres"] == given["server"]
    assert set() == given["proxy"] == given["set-up"]
    assert secret == set.union(*given.values()) - {"PREFECT_SERVER_DATABASE_PASSWORD"}


def test_services_have_no_rights_and_say_how_they_are():
    """Ours run as 10001 on a read-only root without capabilities; what stays up says how it is."""
    for name in OURS:
        service = SERVICES[name]
        assert ("10001:10001", True, ["ALL"]) == (service["user"], service["read_only"], service["cap_drop"]), name
    assert {"server", "set-up", "worker", "app", "receiver"} == OURS
    assert {"set-up", "proxy"} == {name for name, service in SERVICES.items() if "healthcheck" not in service}
    assert all("no-new-privileges:true" in service["security_opt"] for service in SERVICES.values())


def test_only_the_proxy_is_reached_and_the_database_has_no_way_out():
    """Published ports are the proxy's, and Prefect's on loopback; PostgreSQL is in the closed network alone."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert {"proxy", "server"} == set(published)
    assert all(port.startswith("127.0.0.1:") for port in published["server"])
    assert ["inside"] == SERVICES["postgres"]["networks"]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert not {"inside"} & set(SERVICES["proxy"]["networks"])


def test_every_command_is_a_word_of_the_entry():
    """What a service is started with is a case of infra/containers/entry.sh."""
    words = set(re.findall(r"(?m)^([a-z-]+)\)$", (ROOT / "infra" / "containers" / "entry.sh").read_text()))

    assert words == {SERVICES[name]["command"][0] for name in OURS}


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[tuple[str, Wire, Wire]]:
    """The real proxy with our Caddyfile over plain HTTP, between two stand-ins: its address, the app, the receiver."""
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("no caddy on this machine; on Debian: apt install caddy")
    app, receiver, address = Wire(), Wire(), f"http://127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        for wire in (app, receiver):
            stack.enter_context(running(lambda _request: Answer(payload={}), wire))
        log = stack.enter_context((tmp_path / "caddy.log").open("w"))
        env = {"SOULCASTER_SITE": address, "HOME": str(tmp_path)}
        env |= {"APP": app.url.removeprefix("http://"), "RECEIVER": receiver.url.removeprefix("http://")}
        command = [caddy, "run", "--adapter", "caddyfile", "--config", str(FOLDER / "Caddyfile")]
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        stack.callback(process.wait, 20)
        stack.callback(process.terminate)
        while not answers(address):
            assert process.poll() is None, (tmp_path / "caddy.log").read_text()
            time.sleep(0.05)
        app.requests.clear()
        yield address, app, receiver


def answers(address: str) -> bool:
    """Whether anything does there."""
    try:
        return httpx.get(address).status_code > 0
    except httpx.TransportError:
        return False


def test_the_proxy_leads_every_door_of_the_receiver_to_it_and_the_rest_to_the_app(
    proxy: tuple[str, Wire, Wire], tmp_path: Path
):
    """All paths of the real receiver, but its figures; pages and the app's own paths go to the app."""
    address, app, receiver = proxy
    described = make_app(Settings(_env_file=None, home=tmp_path)).openapi()["paths"]
    doors = {re.sub(r"\{[^}]*\}", "x", path) for path in described} - {"/metrics"}
    doors |= {"/openapi.json", "/api/v1/openapi.json", "/api/v1/clusters"}
    pages = {"/", "/clusters", "/_stcore/health", "/_stcore/stream", "/oauth2callback", "/auth/login"}

    for path in sorted(doors | pages):
        assert 200 == httpx.get(address + path).status_code, path
    closed = httpx.get(address + "/metrics")

    assert doors == set(receiver.paths())
    assert pages == set(app.paths())
    assert len(doors) > 6
    assert 404 == closed.status_code


def test_the_proxy_says_who_asks_and_believes_nobody_else(proxy: tuple[str, Wire, Wire]):
    """What a stranger writes into X-Forwarded-For does not reach the receiver, whose limits count addresses."""
    address, _, receiver = proxy
    answer = httpx.get(address + "/health", headers={"X-Forwarded-For": "10.1.2.3"})

    assert "127.0.0.1" == receiver.requests[-1].headers["x-forwarded-for"]
    assert "max-age" in answer.headers["strict-transport-security"]
