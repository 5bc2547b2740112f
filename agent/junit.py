"""Test names and outcomes from JUnit XML that untrusted code wrote: bounded, and no document type, so no entity."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from xml.parsers import expat  # used without entities: a document type ends the parse

MOST_BYTES = 30_000_000
MOST_TESTS = 20_000
MOST_NAME = 400
_WORST_FIRST = ("error", "failed", "skipped", "passed")
_ELEMENTS = {"failure": "failed", "error": "error", "skipped": "skipped"}


class JUnitError(Exception):
    """The file cannot be used; the message says why."""


def read_results(path: Path) -> dict[str, str] | None:
    """Outcome (passed, failed, error, skipped) by `class::name`; the worst one where a name comes twice.

    None when there is no such file.

    Raises:
        JUnitError: no regular file, too large, not XML, a document type, or too many tests.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JUnitError(f"The results cannot be opened: {error.strerror}.") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            raise JUnitError(f"The results are no regular file of at most {MOST_BYTES} bytes.")
        return parse_results(file.read(MOST_BYTES))


def parse_results(data: bytes) -> dict[str, str]:
    """As `read_results`, from the bytes of the file.

    Raises:
        JUnitError: as there.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = reader.refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise JUnitError(f"The results are no XML: {error}.") from error
    return reader.tests


class _Reader:
    def __init__(self) -> None:
        self.tests: dict[str, str] = {}
        self._name: str | None = None
        self._outcome = "passed"

    def refuse(self, *_args: object) -> None:
        raise JUnitError("The results declare a document type; test results have none.")

    def start(self, element: str, attributes: dict[str, str]) -> None:
        if element == "testcase":
            place = attributes.get("classname") or attributes.get("file", "")
            self._name = f"{place}::{attributes.get('name', '')}"[:MOST_NAME]
            self._outcome = "passed"
        elif self._name is not None and element in _ELEMENTS:
            self._outcome = _worse(self._outcome, _ELEMENTS[element])

    def end(self, element: str) -> None:
        if element != "testcase" or self._name is None:
            return
        self.tests[self._name] = _worse(self._outcome, self.tests.get(self._name, "passed"))
        self._name = None
        if len(self.tests) > MOST_TESTS:
            raise JUnitError(f"The results name more than {MOST_TESTS} tests.")


def _worse(first: str, second: str) -> str:
    return min(first, second, key=_WORST_FIRST.index)
