"""What the threat model claims is shown by tests that exist."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENT = (CHECKOUT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", DOCUMENT)))

SECTIONS = (
    *(
        "A stolen agent token",
        "A taken-over agent",
        "A hostile pod on the node",
        "A hostile neighbour that answers for the service",
    ),
    *("A hostile document", "Hostile annotations when restoring", "The supply chain"),
)


def names_in(path: Path) -> set[str]:
    """The tests of a file, by the name of their function; a class whose body is made elsewhere by its own."""
    tree = ast.parse(path.read_text())
    functions = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    }
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.startswith("Test")
    }
    return functions | assigned


@pytest.mark.parametrize("name", NAMED)
def test_named_tests_exist(name: str) -> None:
    """Each test that is named is there under this name."""
    path, _, test = name.partition("::")
    assert (CHECKOUT / path).is_file()
    assert not test or test in names_in(CHECKOUT / path)


def test_every_section_has_claims() -> None:
    """There is a section for each attacker, and every line of its table names a test."""
    sections = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", DOCUMENT, flags=re.MULTILINE))
    for section in SECTIONS:
        rows = [row for row in sections[section].splitlines() if row.startswith("| ")][1:]
        assert rows, section
        assert not [row for row in rows if "`tests/" not in row]


def test_number_of_forbidden_attempts() -> None:
    """The number in the text is that of the list."""
    tree = ast.parse((CHECKOUT / "tests" / "chart" / "forbidden.py").read_text())
    assigned = [node for node in tree.body if isinstance(node, ast.AnnAssign)]
    (attempts,) = [node.value for node in assigned if ast.unparse(node.target) == "FORBIDDEN"]
    assert isinstance(attempts, ast.Dict)
    assert f"| {len(attempts.keys)} writes and reads " in DOCUMENT


@pytest.mark.parametrize("name", ["runtime", "build", "dev"])
def test_requirements_have_hashes(name: str) -> None:
    """Every requirement is one version with its hashes, and they are installed with hashes only."""
    text = (CHECKOUT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert lines
    assert not [line for line in lines if "==" not in line or "--hash=sha256:" not in line]
    for installing in ("Makefile", "Dockerfile"):
        assert "--require-hashes" in (CHECKOUT / installing).read_text()


def test_security_rules_are_on() -> None:
    """All security rules of the linter are on for the program, but for one that a setting makes moot."""
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert settings["select"] == ["ALL"]
    security = re.compile(r"S[0-9]*")
    assert [rule for rule in settings["ignore"] if security.fullmatch(rule)] == ["S104"]
    ours = {path: rules for path, rules in settings["per-file-ignores"].items() if path.startswith("sidecar")}
    off = {path: [rule for rule in rules if security.fullmatch(rule)] for path, rules in ours.items()}
    assert {path: rules for path, rules in off.items() if rules} == {"sidecar/simulator/*": ["S311"]}
