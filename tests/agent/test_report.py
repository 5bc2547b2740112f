"""Reports are whole, valid, small and free of secrets, whatever was said."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_folders import make_edit, read_report

from agent.answers import read_diagnosis, read_review
from agent.redaction import MARK, redact
from agent.report import Report, cut, cut_head

JOB = {"job_id": "job-1", "attempt": 1, "mode": "verify"}
SECRETS = [
    "ghp_0123456789abcdefghijklmnopqrstuvwxyz", "ghs_1234567_eyJhbGciOiJSUzI1NiJ9.abcdefghijk.lmnopqrstuv",
    "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz", "sk-proj-abcdefghijklmnopqrstuvwx", "AKIAABCDEFGHIJKLMNOP",
    "AIzaSyA0123456789abcdefghijklmnopqrstuv", "xoxb-123456789012-abcdefghijkl",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcdefghijklmnop",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("text", ["{}", "x {} y", "KEY={}", "Authorization: Bearer {}", 'url = "https://me:{}@host/x"'])
def test_known_forms_of_secrets_are_taken_out(secret: str, text: str):
    """Wherever they stand."""
    assert secret not in redact(text.format(secret))
    assert MARK in redact(text.format(secret))


def test_private_keys_and_assigned_passwords_are_taken_out():
    """Also a key whose end was cut off."""
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\ndef\n"
    assert "MIIE" not in redact("a " + key)
    assert "hunter2hunter2" not in redact('db_password: "hunter2hunter2"')
    assert "def add(a, b):\n    return a + b" == redact("def add(a, b):\n    return a + b")


@given(st.text(max_size=500), st.integers(2, 100))
def test_cut_text_is_short_and_can_be_written(text: str, most: int):
    """Never longer than asked, never what UTF-8 or a screen cannot take."""
    for shown in (cut(text, most), cut_head(text, most)):
        assert len(shown) <= most
        assert all(c.isprintable() or c in "\n\t" for c in shown.encode().decode())


def test_a_reader_never_sees_half_a_report(tmp_path: Path):
    """The file is replaced as a whole while somebody reads all the time."""
    report = Report(tmp_path, JOB, "none")
    report.write()
    ended = threading.Event()
    seen: list[str] = []

    def read() -> None:
        while not ended.is_set():
            seen.append(json.loads((tmp_path / "report.json").read_text())["status"])

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        report.document["log_tail"] = "x" * (number * 300)
        report.write("running", f"{number}")
    ended.set()
    reader.join()

    assert {"running"} == set(seen)


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path):
    """The target of a planted link keeps its bytes."""
    (tmp_path / "target").write_text("ours")
    (tmp_path / "report.json").symlink_to(tmp_path / "target")
    (tmp_path / ".report.json.new").symlink_to(tmp_path / "target")
    Report(tmp_path, JOB, "none").write()

    assert "ours" == (tmp_path / "target").read_text()
    assert not (tmp_path / "report.json").is_symlink()


def test_a_report_that_would_be_too_large_says_what_it_left_out(tmp_path: Path):
    """Lists go first, the reason says so, and it is still valid."""
    report = Report(tmp_path, JOB, "none")
    tests = {f"{'long' * 90}{number}": "passed" for number in range(20_000)}
    report.document["runs"] = {
        name: {"status": "done", "seconds": 1, "tests": tests} for name in ("baseline", "full_patch")
    }
    report.write("done", "all runs ended")

    assert (tmp_path / "report.json").stat().st_size < 8_000_000
    assert read_report(tmp_path)["reason"].startswith("shortened")
    assert read_report(tmp_path)["runs"]["baseline"]["tests"] is None


def test_the_last_object_that_fits_is_the_diagnosis():
    """Text, other objects and code around it do not matter; too long fields are cut."""
    text = (
        'First {"fixability": "fixable", "cause": "wrong"} then {"a": {"b": 1}} and at last\n```json\n'
        + json.dumps({"fixability": "not_actionable", "cause": "c" * 9000, "files": ["a"] * 50, "confidence": 0.3})
        + '\n``` {"unrelated": true}'
    )
    found = read_diagnosis(text)

    assert found
    assert ("not_actionable", 4000, 20) == (found["fixability"], len(found["cause"]), len(found["files"]))
    assert read_diagnosis('{"fixability": "maybe", "cause": "x"}') is None
    assert read_diagnosis('{"fixability": "fixable"}') is None


@given(st.text(alphabet='{}[]":,ab1\\ ', max_size=300))
def test_no_answer_breaks_the_reading(text: str):
    """Whatever a model says."""
    assert read_diagnosis(text) is None
    assert read_review(text) is None


def test_many_open_braces_are_no_trouble():
    """Reading stays bounded."""
    assert read_diagnosis("{" * 100_000) is None
    assert read_diagnosis('{"a":' * 5_000) is None


def test_a_job_folder_of_these_tests_is_valid(tmp_path: Path):
    """The folder maker checks what it makes against the schema."""
    assert (make_edit(tmp_path / "job", {"a": "b"}) / "source.tar.gz").is_file()
