"""`prune` with arguments that are wrong."""

import pytest

from sidecar.errors import ExitCode
from tests.fleet.prune.support import WAIT, Prune
from tests.support.fake_cluster import FakeCluster


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--annotation-prefix=kubernetes.io"], "reserved"),
        (["--annotation-prefix=node.alpha.kubernetes.io"], "reserved"),
        (["--annotation-prefix="], "not a DNS subdomain"),
        (["Node_A"], "cannot be the name of a Node"),
        (["../nodes/a"], "cannot be the name of a Node"),
        (["--concurrency=0"], "from 1 to 64"),
        (["--concurrency=65"], "from 1 to 64"),
        (["--concurrency=8.5"], "from 1 to 64"),
        (["--concurrency=0000000199"], "from 1 to 64"),
        ([f"--concurrency={'1' * 5000}"], "from 1 to 64"),
        ([WAIT[0]], "go together"),
        ([WAIT[1]], "go together"),
        (["--timeout=1m"], "--timeout is for"),
        ([WAIT[0], "--pod-selector= "], "label selector"),
        (["--wait-for-daemonset=agents", WAIT[1]], "NAMESPACE/NAME"),
        (["--wait-for-daemonset=a/b/c", WAIT[1]], "NAMESPACE/NAME"),
        (["--context=other"], "no context other"),
    ],
)
async def test_usage(cluster: FakeCluster, prune: Prune, arguments: list[str], text: str) -> None:
    """Wrong arguments are told in one line before anything is asked."""
    ended = await prune(*arguments)
    assert ended.code == ExitCode.USAGE
    assert text in ended.err
    assert len(ended.err.splitlines()) == 1
    assert cluster.requests == []
