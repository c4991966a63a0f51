"""Networks of a test's own; where there can be none, these tests are left out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.requirements import leave_out
from tests.translation import servers
from tests.translation.network import Network, network as made

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.translation)


@pytest.fixture(autouse=True, scope="session")
def possible(request: pytest.FixtureRequest) -> None:
    """That there can be a network here."""
    if not any(item.get_closest_marker("translation") for item in request.session.items):
        return
    if reason := servers.missing():
        leave_out(f"{reason}; enable with: {servers.ENABLE_COMMAND}")


@pytest.fixture
def network() -> Iterator[Network]:
    """A network of the test's own; every flow leaves from one address until the test says otherwise."""
    with made() as network:
        yield network


@pytest.fixture
def stun_server(network: Network) -> Iterator[servers.Server]:
    """A STUN server outside."""
    with servers.stun_server(network) as server:
        yield server
