"""What we depend on may ship with an Apache-2.0 product."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

FREE = re.compile(
    r"0BSD|(2-clause |3-clause )?bsd( license|-[23]-clause)?|apache([ -](software )?license)?(,? version)?[ -]?(2\.0)?"
    r"|mit(-0|-cmu)?( license)?|isc( license( \(iscl\))?)?|psf-2\.0|python software foundation license|zlib|cc0-1\.0"
    r"|cnri-python|the unlicense( \(unlicense\))?",
    re.IGNORECASE,
)
"""Licences that ask for no more than to be named."""

LOOKED_AT = {
    "certifi": "MPL-2.0: files used as they are",
    "hdbscan": "BSD-3-Clause in its LICENSE; its metadata only says 'OSI Approved'",
    "orjson": "MPL-2.0 beside Apache-2.0 and MIT: files used as they are",
    "pathspec": "MPL-2.0: files used as they are",
    "pygithub": "LGPL-3.0: imported as a package that anyone can replace, never copied or changed",
    "text-unidecode": "Artistic License, chosen among its two",
    "tqdm": "MPL-2.0 beside MIT: files used as they are",
}
"""What is not in `FREE`, and why it may ship all the same."""


def licences(name: str) -> list[str]:
    """The terms of a package's licence, by its expression, else its classifiers, else its own words."""
    about = metadata.metadata(name)
    classified = [
        row.split("::")[-1].strip() for row in about.get_all("Classifier", []) if row.startswith("License ::")
    ]
    said = about.get("License-Expression") or " AND ".join(classified) or (about.get("License") or "").split("\n")[0]
    return [term.strip(" ()") if "(" not in term[1:-1] else term for term in re.split(r" AND | OR ", said)]


def test_every_package_that_ships_with_us_has_a_licence_that_allows_it():
    """A new dependency, or a new licence of one, is looked at by a person before it gets in."""
    locked = re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    installed = {re.sub(r"[-_.]+", "-", found.name).lower() for found in metadata.distributions()}
    judged = {name: licences(name) for name in locked if name in installed}
    assert len(judged) > 0.9 * len(locked)  # the others are for other systems

    unknown = {
        name: terms for name, terms in judged.items() if not all(FREE.fullmatch(term) for term in terms) or not terms
    }

    assert unknown.keys() == LOOKED_AT.keys() & judged.keys(), unknown
