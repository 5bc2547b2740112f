"""Secrets in what a patch adds: our own in any of their usual spellings, and those of well-known shapes. Pure.

Known shapes come from detect-secrets; its detectors are called directly, without its filters (a comment could switch
them off) and without verification (which would ask the network).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from functools import cache
from urllib.parse import quote

from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import BasePlugin
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString, HexHighEntropyString
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector
from pydantic import SecretStr

from soulcaster.fix_models import Finding
from soulcaster.fixing.patches import FileChange

_KNOWN = (
    ArtifactoryDetector, AWSKeyDetector, AzureStorageKeyDetector, BasicAuthDetector, DiscordBotTokenDetector,
    GitHubTokenDetector, GitLabTokenDetector, JwtTokenDetector, MailchimpDetector, NpmDetector, OpenAIDetector,
    PrivateKeyDetector, PypiTokenDetector, SendGridDetector, SlackDetector, SquareOAuthDetector, StripeDetector,
    TelegramBotTokenDetector, TwilioKeyDetector,
)  # fmt: skip
_OTHER_SHAPES = re.compile(
    r"AIza[0-9A-Za-z_-]{35}|gh[pousr]_[0-9A-Za-z]{36,}|github_pat_\w{22,}|sntry[su]_[\w+/=-]{20,}|\bghs_\w{20,}"
)
"""Shapes that detect-secrets 1.5 does not know: Google keys, fine-grained and newer GitHub tokens, Sentry's."""

_BASE64_LIMIT, _HEX_LIMIT = 4.5, 3.0
"""Shannon entropy, bits a character. Source: defaults of detect-secrets."""

_SHORTEST_SECRET = 8
_LONGEST_LINE = 2000


def find_secrets(files: Sequence[FileChange], patch: str, secrets: Sequence[SecretStr]) -> list[Finding]:
    """Findings without the secrets themselves; strings that merely look random do not block."""
    found = []
    if holds_any(patch, secrets):
        detail = "it holds one of Soulcaster's own secrets, plain or encoded"
        found.append(Finding(rule="own-secret", detail=detail))
    for file in files:
        kinds = sorted({kind for line in file.added for kind in _known_shapes(line[:_LONGEST_LINE])})
        if kinds:
            detail = f"an added line looks like: {', '.join(kinds)}"
            found.append(Finding(rule="secret", path=file.path, detail=detail))
        elif any(_looks_random(line[:_LONGEST_LINE]) for line in file.added):
            detail = "an added line holds a long random string; look whether it is a secret"
            found.append(Finding(rule="random-string", path=file.path, detail=detail, is_blocking=False))
    return found


def holds_any(text: str, secrets: Sequence[SecretStr]) -> bool:
    """Whether one of the secrets is in the text: plain, reversed, in base64, hex or percent form, or in pieces."""
    bare = _bare(text)
    lowered = text.lower()
    for secret in secrets:
        value = secret.get_secret_value().strip()
        if len(value) < _SHORTEST_SECRET:
            continue
        spellings = {value, value[::-1], quote(value, safe=""), *_base64_cores(value.encode())}
        if any(each in text for each in spellings) or value.encode().hex() in lowered:
            return True
        pieces = _bare(value)
        if len(pieces) >= _SHORTEST_SECRET and pieces in bare:
            return True
    return False


def _bare(text: str) -> str:
    """Letters and digits alone: quotes, plus signs, line breaks and diff marks between the pieces are gone."""
    return re.sub(r"[^0-9A-Za-z]", "", text)


def _base64_cores(value: bytes) -> set[str]:
    """What every base64 text that holds the value must hold, for each way the value can lie in it, both alphabets."""
    cores = set()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + value).decode().rstrip("=")
        core = encoded[(0, 2, 3)[shift] : -1]  # characters that neighbours share are cut off
        if len(core) >= _SHORTEST_SECRET:
            cores |= {core, core.replace("+", "-").replace("/", "_")}
    return cores


def _known_shapes(line: str) -> set[str]:
    kinds = {detector.secret_type for detector in _detectors(is_entropy=False) if detector.analyze_line("patch", line)}
    return kinds | ({"API key or token"} if _OTHER_SHAPES.search(line) else set())


def _looks_random(line: str) -> bool:
    return any(detector.analyze_line("patch", line) for detector in _detectors(is_entropy=True))


@cache
def _detectors(*, is_entropy: bool) -> tuple[BasePlugin, ...]:
    if is_entropy:
        return Base64HighEntropyString(limit=_BASE64_LIMIT), HexHighEntropyString(limit=_HEX_LIMIT)
    return tuple(kind() for kind in _KNOWN)
