"""Leaves tests out where there is no Prometheus or no Helm, and says why."""

import pytest

from tests.chart.conftest import found
from tests.monitoring import prometheus
from tests.support.requirements import leave_out


@pytest.fixture(scope="session", autouse=True)
def programs(request: pytest.FixtureRequest) -> None:
    """Prometheus from Debian, and Helm to render the rules with, where a test needs them."""
    if not any(item.get_closest_marker("prometheus") for item in request.session.items):
        return
    if reason := prometheus.missing():
        leave_out(f"{reason}; enable with: {prometheus.ENABLE_COMMAND}")
    found("helm")
