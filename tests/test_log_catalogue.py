"""What the program logs, by its source, is what the catalogue of events says."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.logs import EVENTS, FIELDS
from tools.pages import logs as logs_page

SIDECAR = Path(__file__).resolve().parents[1] / "sidecar"
LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True)
class Line:
    """One place that logs an event."""

    place: str
    event: str
    level: str
    """Empty where it is decided at run time."""
    fields: frozenset[str]

    def __str__(self) -> str:
        """For the name of a test."""
        return f"{self.place}-{self.event}"


def logged() -> Iterator[Line]:
    """Every call of `log` in the program, and of a logger's own methods but for the simulator's."""
    for path in sorted(SIDECAR.rglob("*.py")):
        if path.is_relative_to(SIDECAR / "simulator"):
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from calls(function, str(path.relative_to(SIDECAR.parent)))


def calls(function: ast.FunctionDef | ast.AsyncFunctionDef, place: str) -> Iterator[Line]:
    """The lines that one function logs."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Name("log"):
                level = ast.unparse(node.args[1]).removeprefix("logging.").lower()
                yield Line(
                    place, text(node.args[2]), level if level in LEVELS else "", fields(node, function)
                )
            case ast.Attribute(ast.Name("_logger"), method):
                # With a traceback, which is no field of `log`.
                assert {keyword.arg for keyword in node.keywords} == {"exc_info"}
                yield Line(place, text(node.args[0]), method, frozenset({"traceback"}))


def text(node: ast.expr) -> str:
    """A string that is written out."""
    assert isinstance(node, ast.Constant), ast.unparse(node)
    assert isinstance(node.value, str)
    return node.value


def fields(call: ast.Call, function: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """The fields of a line; those of a dictionary are looked up in the function."""
    names: set[str] = set()
    for keyword in call.keywords:
        names |= {keyword.arg} if keyword.arg else keys(keyword.value, function)
    return frozenset(names)


def keys(variable: ast.expr, function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The keys of a dictionary that a variable of the function is set to."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == ast.unparse(variable):
            assert isinstance(node.value, ast.Dict)
            return {text(key) for key in node.value.keys if key is not None}
    raise AssertionError(f"{ast.unparse(variable)} is set elsewhere")


LINES = list(logged())


@pytest.mark.parametrize("line", LINES, ids=str)
def test_line_is_in_the_catalogue(line: Line) -> None:
    """The event is catalogued, at a level that is not above the one given, and so is every field."""
    event = EVENTS[line.event]
    assert line.fields <= {*event.fields}
    if line.level:
        assert LEVELS.index(line.level) <= LEVELS.index(event.level)


def test_catalogue_promises_nothing_else() -> None:
    """Every event and every field of the catalogue is logged somewhere."""
    found: dict[str, set[str]] = {}
    for line in LINES:
        found.setdefault(line.event, set()).update(line.fields)
    assert found == {name: {*event.fields} for name, event in EVENTS.items()}


def test_fields_have_one_meaning() -> None:
    """Every field of an event has a meaning, and there are no others."""
    assert {field for event in EVENTS.values() for field in event.fields} == {*FIELDS}


def test_page_is_up_to_date() -> None:
    """docs/logs.md is what the program makes of its catalogue."""
    assert logs_page.PAGE.read_text() == logs_page.page(), "make logs-docs"
