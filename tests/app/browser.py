"""A running app and a real Chromium for the tests and the screenshots."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent.parent
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_path() -> str | None:
    """Debian's Chromium, or one that is on the path; None without any."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def free_port() -> int:
    """A port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_app(home: Path, log: Path, **environment: str) -> Iterator[str]:
    """Address of the app over `home`, started as users start it, ended with the block."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "app/main.py", "--server.port", str(port)]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SOULCASTER_", "PREFECT_"))}
    env |= {"SOULCASTER_HOME": str(home), "SOULCASTER_PREFECT_PORT": str(free_port()), **environment}
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT)
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(url, timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium that starts nothing of its own over the network."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


QUIET = """quiet_ms => new Promise(resolve => {
  const app = document.querySelector('[data-testid=stApp]');
  let changed = performance.now();
  const observer = new MutationObserver(() => { changed = performance.now(); });
  observer.observe(app, {subtree: true, childList: true, attributes: true, characterData: true});
  const look = () => {
    const isDrawn = app.dataset.testScriptState === 'notRunning' && performance.now() - changed > quiet_ms;
    if (isDrawn) { observer.disconnect(); resolve(); } else setTimeout(look, 25);
  };
  look();
})"""


def settle(page: Page) -> None:
    """Wait until the app has finished drawing: its script rests and the page has not changed for a while."""
    page.wait_for_selector("[data-testid=stApp]", timeout=30_000)
    page.wait_for_selector("[data-testid=stHeading]", timeout=30_000)
    page.evaluate(QUIET, 250)


def is_loopback(url: str) -> bool:
    """Whether a request stays on this machine (or in the page itself)."""
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname in ("127.0.0.1", "localhost")
