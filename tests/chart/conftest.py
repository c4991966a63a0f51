"""Leaves the chart's tests out where there is no Helm, and says why."""

import os
from pathlib import Path

import pytest

from tests.binaries.programs import BinariesMissingError
from tests.chart import helm

ENABLE_COMMAND = "make binaries-cluster"


def found(name: str) -> Path:
    """The path of a program; without it the test is left out, or fails where all are required."""
    try:
        return helm.program(name)
    except BinariesMissingError as error:
        text = f"{error}; enable with: {ENABLE_COMMAND}"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(text)
        pytest.skip(text)


@pytest.fixture(scope="session", autouse=True)
def helm_programs() -> list[Path]:
    """The paths of both Helms."""
    return [found(name) for name in helm.HELMS]


@pytest.fixture(scope="session")
def helm_docs() -> Path:
    """The path of helm-docs."""
    return found("helm-docs")
