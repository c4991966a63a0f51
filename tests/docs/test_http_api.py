"""docs/http-api.md names every path, parameter, header and status that there is, and no other."""

import re

from sidecar.agent.agent import DRAIN_SECONDS
from sidecar.api.connections import Limits
from sidecar.api.description.answers import HEADERS, PARAMETERS, REASONS
from sidecar.api.endpoints import ENDPOINTS
from sidecar.settings import Settings
from tests.docs.pages import DOCS

TEXT = (DOCS / "http-api.md").read_text()

OTHER_STATUSES = {304, 500}
"""The one that is no error, and the one that is a defect: the description for programs has neither."""

IN_SENTENCES = {"node", "format"}
"""Parameters that nearly every path takes, and that the table of paths leaves out."""

IN_HEADER = {"Metadata", "If-None-Match", "Prefer", "Last-Event-ID"}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert section is not None
    lines = [line for line in section[1].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def codes(cell: str) -> set[str]:
    """What stands in backticks."""
    return set(re.findall(r"`([^`]+)`", cell))


def test_paths() -> None:
    """The table of paths has every path with every parameter of its own."""
    listed = {cells[0].strip("`"): codes(cells[2]) for cells in rows("Paths")}
    assert listed == {path: set(endpoint.parameters - IN_SENTENCES) for path, endpoint in ENDPOINTS.items()}


def test_parameters() -> None:
    """Each parameter is explained, in its table or where its path is."""
    explained = {name for cells in rows("Parameters") for name in codes(cells[0])}
    assert explained | {"api-version", "ip"} | IN_HEADER == PARAMETERS.keys()
    assert all(f"`{name}" in TEXT for name in PARAMETERS if name != "ip")


def test_headers() -> None:
    """Each header of an answer is explained."""
    assert {name for cells in rows("Headers") for name in codes(cells[0])} == HEADERS.keys()


def test_statuses() -> None:
    """Each status has a row."""
    assert {int(cells[0]) for cells in rows("Errors")} == REASONS.keys() | OTHER_STATUSES


def test_limits() -> None:
    """The limits are those of the program."""
    limits = Limits()
    shown = " ".join(cells[1] for cells in rows("Limits"))
    assert Settings.model_fields["max_clients"].default == 1024 == limits.max_clients
    end = DRAIN_SECONDS + limits.shutdown_timeout
    numbers = (limits.max_clients, limits.header_timeout, limits.idle_timeout, end, DRAIN_SECONDS)
    assert all(re.search(rf"\b{number:g}\b", shown) for number in numbers)
    assert f"{limits.max_header_size // 1024} KiB" in shown
