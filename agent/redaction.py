"""Takes what looks like a secret out of text that people will read, by its form: the agent holds none to compare with.

Forms, not lengths: a GitHub installation token has had two lengths already.
"""

from __future__ import annotations

import re

MARK = "[redacted]"

_PATTERNS = [
    re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\b(?:gh[opsur]_|github_pat_|glpat-)[A-Za-z0-9_.-]{10,}"),
    re.compile(r"\bsk-[A-Za-z0-9_-]{16,}"),
    re.compile(r"\bAIza[A-Za-z0-9_-]{20,}"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"),
    re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
]
_BEARER = re.compile(r"(?i)\b(bearer|basic|token)(\s{1,9})[A-Za-z0-9._~+/=-]{16,}")
_PASSWORD_IN_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)[^\s/@:]{1,200}:[^\s/@]{1,200}@")
_ASSIGNED = re.compile(
    r"(?i)\b([a-z0-9_-]{0,40}(?:secret|passwd|password|api[_-]?key|access[_-]?key|auth[_-]?token)[a-z0-9_-]{0,40}[\"']?"
    r"\s{0,9}[=:]\s{0,9}[\"']?)"
    r"[A-Za-z0-9._~+/=-]{12,}"
)


def redact(text: str) -> str:
    """The text with everything that has the form of a key, token or password replaced by a mark."""
    for pattern in _PATTERNS:
        text = pattern.sub(MARK, text)
    text = _BEARER.sub(rf"\1\2{MARK}", text)
    text = _PASSWORD_IN_URL.sub(rf"\1{MARK}@", text)
    return _ASSIGNED.sub(rf"\1{MARK}", text)
