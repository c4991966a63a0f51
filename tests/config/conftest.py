"""Keeps the settings of whoever runs the tests out of them."""

import os

import pytest

from sidecar.settings import ENVIRONMENT_PREFIX


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from the environment of the tests."""
    for name in os.environ:
        if name.upper().startswith(ENVIRONMENT_PREFIX) or name in {"NODE_NAME", "HOST_IP"}:
            monkeypatch.delenv(name)
