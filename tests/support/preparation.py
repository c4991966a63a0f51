"""A pytest plug-in: a preparation for the whole session that fails is reported once, with its reason.

By itself pytest raises what a session's fixture raised again in each test that needs it. Here that is the
failure of the first one; the others are skipped, and one line of the summary says how many and why.
"""

from collections.abc import Generator

import pytest

_failed: dict[str, str] = {}
"""The fixtures that have failed, each with the test that says why."""

_running: list[str] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs what could not be prepared."""
    _running[:] = [item.nodeid]
    for name in getattr(item, "fixturenames", ()):
        if name in _failed:
            pytest.skip(f"{name} could not be prepared: see the error of {_failed[name]}")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Note what could not be prepared."""
    del request
    try:
        return (yield)
    except (Exception, pytest.fail.Exception):
        if fixturedef.scope == "session":
            _failed.setdefault(fixturedef.argname, _running[0])
        raise
