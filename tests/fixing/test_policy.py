"""What stops a patch, one case a rule; and honest patches that nothing stops."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from soulcaster.fix_models import Repository
from soulcaster.fixing.paths import check_path, find_twins, is_test_path
from soulcaster.fixing.policy import check, is_blocked
from soulcaster.fixing.secret_scan import holds_any

REPOSITORY = Repository(name="acme/notes")
SECRET = SecretStr("tr0ub4dor-and-3-more-words")


def modified(path: str, added: list[str], removed: list[str] = ()) -> str:
    """A patch that changes lines of one file."""
    body = "".join(f"-{line}\n" for line in removed) + "".join(f"+{line}\n" for line in added)
    hunk = f"@@ -1,{len(removed) + 1} +1,{len(added) + 1} @@\n kept\n"
    return f"diff --git a/{path} b/{path}\nindex 1111111..2222222 100644\n--- a/{path}\n+++ b/{path}\n{hunk}{body}"


def created(path: str, lines: list[str], mode: str = "100644") -> str:
    """A patch that makes one file."""
    body = "".join(f"+{line}\n" for line in lines)
    header = (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\nindex 0000000..2222222\n--- /dev/null\n+++ b/{path}\n"
    )
    return f"{header}@@ -0,0 +1,{len(lines)} @@\n{body}"


def deleted(path: str, lines: list[str]) -> str:
    """A patch that takes one file away."""
    body = "".join(f"-{line}\n" for line in lines)
    header = (
        f"diff --git a/{path} b/{path}\ndeleted file mode 100644\nindex 2222222..0000000\n--- a/{path}\n+++ /dev/null\n"
    )
    return f"{header}@@ -1,{len(lines)} +0,0 @@\n{body}"


def blocking(patch: str, repository: Repository = REPOSITORY, **rest) -> set[str]:
    """Rules that stop it."""
    return {each.rule for each in check(patch, repository, [SECRET], **rest) if each.is_blocking}


HONEST = modified("app/totals.py", ["    return sum(rows)"], ["    return sum(rows[1:])"]) + modified(
    "tests/test_totals.py", ["def test_first_row_counts():", "    assert total([1, 2]) == 3"]
)


def test_an_honest_fix_with_its_test_passes():
    """Nothing at all is said about it."""
    assert [] == check(HONEST, REPOSITORY, [SECRET])


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml",
        ".GitHub/x.yml",
        "sub/.gitattributes",
        ".env",
        "Dockerfile",
        "web/Dockerfile.prod",
        "infra/main.py",
        "modules/x.tf",
        "CODEOWNERS",
        "docs/CODEOWNERS",
        "AGENTS.md",
        "claude.md",
        "web/GEMINI.md",
        "kilo.json",
        "opencode.jsonc",
        ".husky/pre-commit",
        "tests/conftest.py",
        "pytest.ini",
        "tox.ini",
        "pyproject.toml",
        "package.json",
        "web/package-lock.json",
        "poetry.lock",
        "go.mod",
        "Cargo.toml",
        "pom.xml",
        "Makefile",
        "setup.py",
        "sitecustomize.py",
        "src/x.pth",
        "jest.config.ts",
        ".vscode/tasks.json",
        ".soulcaster.toml",
        "requirements-dev.txt",
        "Jenkinsfile",
        "build.gradle.kts",
        "pytest.py",
    ],
)
def test_what_builds_tests_deploys_or_instructs_is_for_people_only(path):
    """Whatever is done to it, at any depth and in any letter case."""
    assert {"protected-path"} <= blocking(modified(path, ["x"]))


@pytest.mark.parametrize(
    "path",
    [
        "src/app.py",
        "lib/makefile_parser.py",
        "docs/guide.md",
        "web/src/hooks/useX.ts",
        "tests/test_x.py",
        "src/été.py",
        "ドキュメント/x.md",
    ],
)
def test_ordinary_paths_are_free(path):
    """Names that only resemble protected ones, and names in other scripts, are nobody's business."""
    assert [] == check_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a//b",
        "./a",
        "C:/x",
        "a\\b",
        ".git/config",
        "x/.GIT/hooks/y",
        "GIT~1/config",
        "a/.git /x",
        "a./b",
        "a\u202ebp.py",
        "a\u200b.py",
        "a\n.py",
        "s\u0440c/app.py",
        "\uff53rc/app.py",
        "e\u0301.py",
        "a\ud800.py",
        "",
        "x" * 301,
    ],
)
def test_a_path_that_climbs_hides_or_poses_is_refused(path):
    """Written to fool git, a file system or a reader."""
    assert ["bad-path"] == [each.rule for each in check_path(path)]


@given(st.text(max_size=80))
def test_a_path_that_passes_is_relative_visible_and_does_not_climb(path):
    """Whatever a patch calls its files."""
    if not check_path(path):
        assert not path.startswith(("/", "."))
        assert ".." not in path.split("/")
        assert path.isprintable() or not path.isascii()
        assert ".git" not in [part.casefold() for part in path.split("/")]


def test_a_patch_stays_within_the_folder_of_the_repository():
    """Also when only one of its files leaves it, or a name merely begins alike."""
    web = REPOSITORY.model_copy(update={"path_prefix": "packages/web/"})

    assert set() == blocking(modified("packages/web/a.ts", ["x"]), web)
    assert {"outside-prefix"} == blocking(modified("packages/webster/a.ts", ["x"]), web)
    assert {"outside-prefix"} == blocking(modified("packages/web/a.ts", ["x"]) + modified("b.ts", ["x"]), web)


def test_names_that_differ_by_case_or_by_look_alike_letters_only_are_twins():
    """Against the other files of the patch and against the tree."""
    assert {"twin-path"} == blocking(created("src/App.py", ["x"]), known_paths=["src/app.py"])
    assert {"twin-path"} == blocking(created("a.py", ["x"]) + created("A.py", ["x"]))
    assert set() == blocking(modified("src/app.py", ["x"]), known_paths=["src/app.py", "src/b.py"])
    assert [] == find_twins([], ["a", "A"])


def test_size_is_capped_in_files_lines_and_bytes():
    """Twenty files, six hundred lines, two hundred kilobytes."""
    many = "".join(created(f"src/f{n}.py", ["x"]) for n in range(21))

    assert {"too-many-files"} == blocking(many)
    assert {"too-many-lines"} == blocking(created("src/a.py", ["x"] * 601))
    assert set() == blocking(created("src/a.py", ["x"] * 600))
    assert {"too-many-bytes"} == blocking(created("src/a.py", ["x" * 4000] * 60))
    assert {"long-line"} == blocking(created("src/a.py", ["x" * 5001]))


def test_only_plain_files_keep_their_modes():
    """Symlinks, submodules, new executables, mode changes and binaries are refused."""
    link = created("src/link", ["/etc/passwd"], "120000")
    module = created("lib/dep", ["Subproject commit 2222222222222222222222222222222222222222"], "160000")
    chmod = "diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n"
    binary = "diff --git a/x.png b/x.png\nindex 1111111..2222222 100644\nBinary files a/x.png and b/x.png differ\n"

    assert {"symlink"} == blocking(link)
    assert {"submodule"} == blocking(module)
    assert {"mode"} == blocking(chmod)
    assert {"mode"} == blocking(created("tool.sh", ["x"], "100755"))
    assert blocking(binary) & {"binary", "unreadable"}


@pytest.mark.parametrize("text", ["nonsense", HONEST.replace("@@ -1,2 +1,2 @@", "@@ -1,9 +1,9 @@"), "caf\udce9"])
def test_what_cannot_be_read_is_refused_in_one_finding(text):
    """No exception leaves the policy."""
    [finding] = check(text, REPOSITORY, [])
    assert finding.is_blocking
    assert finding.rule in ("unreadable", "encoding")


@pytest.mark.parametrize(
    "line",
    [
        f'k = "{SECRET.get_secret_value()}"',
        f"# {SECRET.get_secret_value()[::-1]}",
        "x = " + base64.b64encode(b"key=" + SECRET.get_secret_value().encode() + b";").decode(),
        "x = " + base64.urlsafe_b64encode(SECRET.get_secret_value().encode()).decode(),
        "x = " + SECRET.get_secret_value().encode().hex().upper(),
        'x = "tr0ub4dor-" + "and-3-" + "more-words"',
    ],
)
def test_our_own_secrets_are_found_however_they_are_written(line):
    """Plain, reversed, encoded at any offset, cut into pieces; and the finding does not repeat them."""
    findings = check(modified("src/a.py", [line]), REPOSITORY, [SECRET])

    assert "own-secret" in {each.rule for each in findings}
    assert SECRET.get_secret_value() not in str(findings)


def test_a_secret_split_over_lines_is_found():
    """The marks of the diff between the pieces do not hide it."""
    assert not holds_any("tr0ub4dor and other words", [SECRET])
    assert {"own-secret"} == blocking(modified("src/a.py", ["'tr0ub4dor-and'", "'-3-more-words'"]))


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_base64_of_a_secret_between_anything_is_found(before, after):
    """Wherever in the encoded bytes it lies."""
    value = SECRET.get_secret_value().encode()
    assert holds_any("x " + base64.b64encode(before + value + after).decode(), [SECRET])


@pytest.mark.parametrize(
    "line",
    [
        "AKIA" + "QYLPMN5HHHFPZAM2",
        "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
        "github_pat_" + "11ABCDEFG0123456789abc_x",
        "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
        "https://user:" + "hunter22@example.com/x",
        "xoxb-" + "123456789012-abcdefghijklmn",
    ],
)
def test_known_shapes_of_secrets_block_also_when_a_comment_says_otherwise(line):
    """The scanner's own switch-off comment has no power here."""
    assert {"secret"} == blocking(modified("src/a.py", [f"x = '{line}'  # pragma: allowlist secret"]))


def test_a_random_string_is_pointed_out_and_does_not_block():
    """Tests hold hashes."""
    patch = modified("src/a.py", ["x = 'c3ab8ff13720e8ad9047dd39466b3c8974e592c2fa383d4a3960714caef0c4f2'"])
    [finding] = check(patch, REPOSITORY, [])
    assert ("random-string", False) == (finding.rule, finding.is_blocking)


TEST = ["def test_a():", "    assert f() == 1"]


@pytest.mark.parametrize(
    ("patch", "rule"),
    [
        (deleted("tests/test_a.py", TEST), "test-deleted"),
        (modified("tests/test_a.py", ["x = 1"], TEST), "test-deleted"),
        (modified("web/a.test.ts", ["x()"], ["it('adds', () => {", "expect(a).toBe(1)", "})"]), "test-deleted"),
        (modified("pkg/a_test.go", ["x"], ["func TestA(t *testing.T) {"]), "test-deleted"),
        (modified("src/lib.rs", ["fn x() {}"], ["    #[test]", "    fn a() { assert_eq!(1, 1); }"]), "test-deleted"),
        (modified("src/test/java/ATest.java", ["int x;"], ["    @Test", "    void a() {"]), "test-deleted"),
        (modified("tests/test_a.py", ["@pytest.mark.skip"]), "test-skipped"),
        (modified("tests/test_a.py", ["    @unittest.expectedFailure"]), "test-skipped"),
        (modified("tests/test_a.py", ["pytestmark = mark_all"]), "test-skipped"),
        (modified("web/a.spec.ts", ["it.only('x', () => {"]), "test-skipped"),
        (modified("web/a.spec.ts", ["xit('x', () => {"]), "test-skipped"),
        (modified("pkg/a_test.go", ["\tt.Skip()"]), "test-skipped"),
        (modified("src/lib.rs", ["    #[ignore]"]), "test-skipped"),
        (modified("src/test/java/ATest.java", ["    @Disabled"]), "test-skipped"),
        (modified("tests/test_a.py", ["    pass"], ["    assert f() == 1"]), "test-weakened"),
        (modified("tests/test_a.py", ["    assert True"], ["    assert f() == 1"]), "test-weakened"),
        (modified("tests/test_a.py", ["    assert f() == 1 or True"], ["    assert f() == 1"]), "test-weakened"),
        (modified("web/a.test.js", ["    expect(true).toBe(true)"], ["    expect(f()).toBe(1)"]), "test-weakened"),
        (modified("app/a.py", ["if 'PYTEST_CURRENT_TEST' in os.environ: return 1"]), "test-detected"),
        (modified("app/a.js", ["if (process.env.NODE_ENV === 'test') return 1"]), "test-detected"),
    ],
)
def test_deleted_skipped_and_weakened_tests_block(patch, rule):
    """In each of the languages, and code that asks whether it is under test."""
    found = blocking(patch)
    assert rule in found
    assert found <= {rule, "test-weakened"}


def test_moved_and_rewritten_tests_do_not_block():
    """A test that returns under its name elsewhere, a skip that was there, an assertion that became another one."""
    moved = modified("tests/test_a.py", [], TEST) + created("tests/test_b.py", TEST)
    assert "test-deleted" not in blocking(moved)
    assert set() == blocking(modified("tests/test_a.py", ["    @pytest.mark.skip"], ["@pytest.mark.skip"]))
    assert set() == blocking(modified("tests/test_a.py", ["    assert f() == 2"], ["    assert f() == 1"]))


@pytest.mark.parametrize("line", ["x = 'a\u202eb'", "x\u200b = 1", "x = '\x1b[2J'"])
def test_characters_that_nobody_sees_block(line):
    """What a reviewer reads must be what runs."""
    assert {"hidden-characters"} == blocking(modified("src/a.py", [line]))


def test_closing_words_and_mentions_are_pointed_out_only():
    """The pull request's own text defuses them; in code they do nothing."""
    findings = check(modified("src/a.py", ["# fixes #12, thanks @ann", "@property"]), REPOSITORY, [])

    assert {"closing-keyword", "mention"} == {each.rule for each in findings}
    assert not is_blocked(findings)
    assert [] == check(modified("src/a.py", ["@property", "a @ b"]), REPOSITORY, [])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/data/x.json", True),
        ("app/test_x.py", True),
        ("x_test.go", True),
        ("a.spec.tsx", True),
        ("__tests__/a.js", True),
        ("src/test/java/A.java", True),
        ("FooTest.kt", True),
        ("app/contest.py", False),
        ("latest/x.py", False),
        ("attest.go", False),
        ("src/main/java/Testament.java", False),
        ("docs/testing.md", False),
    ],
)
def test_tests_are_told_from_source_by_the_habits_of_languages(path, expected):
    """Words that merely contain 'test' are source."""
    assert expected == is_test_path(path)
