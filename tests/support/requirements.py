"""What a test does about a program that not every machine has."""

import os
from typing import NoReturn

import pytest


def leave_out(reason: str) -> NoReturn:
    """Skip the test for want of something; with ``REQUIRE_ALL=1``, when all must be there, fail it."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
