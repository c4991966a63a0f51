"""Fixtures of the tests of publishing."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the document goes."""
    return tmp_path / "loadbalancer.json"
