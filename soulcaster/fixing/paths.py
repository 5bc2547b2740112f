"""Which paths a patch may not touch, whatever it does to them, and which hold tests. Pure, on the path alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from fnmatch import fnmatchcase

from soulcaster.fix_models import Finding

_LONGEST = 300

_PROTECTED_FOLDERS = ("infra", "terraform", "deploy", "k8s", "helm", "ansible", "charts")
"""At the top: what they hold reaches machines, not users."""

_PROTECTED_NAMES = (
    # CI, containers, infrastructure
    "jenkinsfile*", "azure-pipelines*.y*ml", "appveyor.yml", "bitbucket-pipelines.yml", "cloudbuild.y*ml",
    "buildspec*.y*ml", "dockerfile*", "*.dockerfile", "containerfile*", "docker-compose*.y*ml", "compose.y*ml",
    "procfile", "vercel.json", "netlify.toml", "fly.toml", "serverless.y*ml", "*.tf", "*.tfvars", "*.tf.json",
    # who decides, what agents are told
    "codeowners", "agents.md", "agent.md", "claude.md", "gemini.md", "copilot-instructions.md", "kilo.json*",
    "opencode.json*", "mcp.json", "*.mcp.json", "*.instructions.md", "*.prompt.md",
    # build and test configuration: what runs tests must not be what is tested
    "makefile", "gnumakefile", "justfile", "rakefile", "build.gradle*", "settings.gradle*", "gradlew*",
    "gradle.properties", "gradle-wrapper.*", "mvnw*", "build.rs", "build.xml", "cmakelists.txt", "conftest.py",
    "pytest.ini", "tox.ini", "noxfile.py", "setup.py", "setup.cfg", "sitecustomize.py", "usercustomize.py", "*.pth",
    "jest.config.*", "jest.setup.*", "vitest.config.*", "vitest.setup.*", "vite.config.*", "karma.conf.*",
    "playwright.config.*", "cypress.config.*", "webpack.config.*", "rollup.config.*", "babel.config.*", "pytest.py",
    "unittest.py", "pip.conf", "lefthook.yml",
    # what is installed
    "pyproject.toml", "requirements*.txt", "requirements*.in", "constraints*.txt", "*.lock", "pipfile",
    "environment.y*ml", "package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml",
    "pnpm-workspace.yaml", "bun.lockb", "go.mod", "go.sum", "go.work*", "cargo.toml", "pom.xml", "gemfile*",
    "*.gemspec", "composer.json", "deno.json*", "*.csproj",
)  # fmt: skip
"""File names (lower case) that a person changes. Source: agent.md §3.3 point 6, after gh-aw's protected files."""

_TEST_PATTERNS = (
    re.compile(r"(?:^|/)(?:tests?|__tests__|specs?|testing|e2e|testdata|test_data)/"),
    re.compile(r"(?:^|/)src/(?:test|androidTest|integrationTest)/", re.IGNORECASE),
    re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_tests?|tests?)\.(?:py|pyi|rb|rs|exs?|php|c|cc|cpp)$"),
    re.compile(r"(?:^|/)[^/]*[._-](?:test|spec)\.[cm]?[jt]sx?$"),
    re.compile(r"(?:^|/)[^/]*_test\.go$"),
    re.compile(r"(?:^|/)[^/]*(?:Tests?|IT|Spec)\.(?:java|kt|kts|scala|groovy|cs|swift)$"),
    re.compile(r"(?:^|/)[^/]*_spec\.rb$"),
)

# ruff: noqa: RUF001  look-alike letters are the point
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁһԛԝνοαΑΒΕΖΗΙΚΜΝΟΡΤΥΧАВЕКМНОРСТХıɡ∕⁄․", "aeopcyxijsdhqwvoaABEZHIKMNOPTYXABEKMHOPCTXig//."
)
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})


def is_test_path(path: str) -> bool:
    """Whether the path is one where tests and what they read are kept, by the habits of the common languages."""
    return any(pattern.search(path) for pattern in _TEST_PATTERNS)


def check_path(path: str, *, path_prefix: str = "") -> list[Finding]:
    """Reasons against touching this path; a path that is no path at all says only that."""
    malformed = _malformed(path)
    if malformed:
        return [Finding(rule="bad-path", path=readable(path), detail=malformed)]
    found = []
    prefix = path_prefix.strip("/")
    if prefix and not path.startswith(prefix + "/"):
        detail = f"{path!r} lies outside {prefix!r}, the folder that patches are limited to"
        found.append(Finding(rule="outside-prefix", path=path, detail=detail))
    protected = _protected(path)
    if protected:
        found.append(Finding(rule="protected-path", path=path, detail=f"{path!r} is for people only: {protected}"))
    return found


def find_twins(touched: Iterable[str], known: Iterable[str]) -> list[Finding]:
    """Touched paths that differ from another touched or known one only by letter case or by look-alike letters."""
    by_key: dict[str, set[str]] = {}
    touched = list(touched)
    wanted = {_key(path) for path in touched}
    for path in [*touched, *known]:
        if (key := _key(path)) in wanted:
            by_key.setdefault(key, set()).add(path)
    return [
        Finding(
            rule="twin-path",
            path=readable(path),
            detail=f"{readable(path)!r} reads like {readable(min(by_key[_key(path)] - {path}))!r}",
        )
        for path in touched
        if len(by_key[_key(path)]) > 1
    ]


def readable(path: str) -> str:
    """The path with everything that does not print written out, cut to a length that fits a line."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in path[:_LONGEST])


def _malformed(path: str) -> str:
    if not path or len(path) > _LONGEST:
        return f"a path of {len(path)} characters, expected 1 to {_LONGEST}"
    parts = path.split("/")
    folded = [part.casefold() for part in parts]
    checks = (
        (path.startswith("/") or "\\" in path or re.match(r"^[A-Za-z]:", path), "is not relative to the repository"),
        (any(part in ("", ".", "..") for part in parts), "climbs or has an empty part"),
        (any(unicodedata.category(c) in _UNSEEN for c in path), "holds characters that nobody sees"),
        (
            any(part != part.strip(" ") or part.endswith(".") or ":" in part for part in parts),
            "holds a part that some file systems read as another name",
        ),
        (any(part == ".git" or re.fullmatch(r"git~\d+", part) for part in folded), "lies in git's own folder"),
        (unicodedata.normalize("NFC", path) != path, "is not in composed form (NFC)"),
        (not path.isascii() and _skeleton(path).isascii(), "is written with letters that look like ASCII and are not"),
    )
    return next((f"{readable(path)!r} {why}" for is_wrong, why in checks if is_wrong), "")


def _protected(path: str) -> str:
    parts = path.casefold().split("/")
    if parts[0].startswith("."):
        return "names that begin with a dot configure tools and CI"
    if any(part.startswith((".git", ".husky", ".circleci", ".env")) for part in parts):
        return "it configures git, hooks, CI or holds secrets"
    if len(parts) > 1 and parts[0] in _PROTECTED_FOLDERS:
        return f"the folder {parts[0]!r} reaches machines"
    if any(part in ("hooks.d", "githooks") for part in parts):
        return "hooks run by themselves"
    for pattern in _PROTECTED_NAMES:
        if fnmatchcase(parts[-1], pattern):
            return f"files named {pattern!r} build, test, install or instruct"
    return ""


def _skeleton(path: str) -> str:
    return unicodedata.normalize("NFKC", path.translate(_LOOKALIKES))


def _key(path: str) -> str:
    return _skeleton(path).casefold()
