"""Leaves the chart's tests out where there is no Helm, and says why."""

from pathlib import Path

import pytest

from tests.chart import helm
from tests.support.requirements import leave_out
from tools.binaries.programs import CLUSTER_ENABLE_COMMAND, BinariesMissingError


def found(name: str) -> Path:
    """The path of a program; without it the test is left out, or fails where all are required."""
    try:
        return helm.program(name)
    except BinariesMissingError as error:
        leave_out(f"{error}; enable with: {CLUSTER_ENABLE_COMMAND}")


@pytest.fixture(scope="session", autouse=True)
def helm_programs() -> list[Path]:
    """The paths of both Helms."""
    return [found(name) for name in helm.HELMS]


@pytest.fixture(scope="session")
def helm_docs() -> Path:
    """The path of helm-docs."""
    return found("helm-docs")
