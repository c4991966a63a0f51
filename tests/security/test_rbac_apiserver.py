"""What the agent's own role alone would allow, on a real API server without the policy.

The same attempts as against the policy; ``docs/security.md`` has the list of those that go through.
"""

import re
from pathlib import Path

import pytest

from tests.chart.forbidden import FORBIDDEN
from tests.chart.policy import MANAGER, Agent
from tests.support.cluster import ApiError, Cluster

pytestmark = [pytest.mark.apiserver, pytest.mark.chart]

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "security.md"

ROLE = ({"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]},)
"""What the chart's role has; ``tests/chart/test_access.py::test_cluster_role`` holds it to that."""


async def test_role_without_the_policy(cluster: Cluster, tmp_path: Path) -> None:
    """Of all that no agent may get done, the role alone lets through exactly what is documented."""
    node, other = await cluster.create_node(), await cluster.create_node()
    identity = await cluster.create_identity(node.name, directory=tmp_path, rules=ROLE)
    agent = Agent(cluster, identity, other.name)
    await agent.apply({"azure-lb-metadata.io/status": "ok"}, manager=MANAGER)
    through: list[str] = []
    for name, attempt in FORBIDDEN.items():
        try:
            await agent.send(attempt, dry_run=True)
        except ApiError as error:
            assert error.status in {403, 404, 405, 422}, name  # noqa: PT017 - it need not be raised
        else:
            through.append(name)
    for made in (node, other):
        await cluster.delete_node(made.name)
    text = " ".join(DOCUMENT.read_text().split())
    documented = re.search(r"Without the policy, the role alone lets through ([0-9]+) [^:]*: ([^.]+)\.", text)
    assert documented is not None
    assert documented[2].split("; ") == through
    assert int(documented[1]) == len(through)
