"""A change at the metadata service reaches a pod that waits for it."""

import time

import pytest

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.layout import NODES
from tests.e2e.harness.pods import Pod
from tests.e2e.harness.release import Release
from tests.e2e.harness.simulator import node_document, public_ip
from tests.support.processes import poll_until

NODE = NODES[0]
DEADLINE_S = 120.0
CHANGES = 2

CLIENT = """\
import http.client, sys, time
headers = {"Prefer": "wait=60"}
while True:
    connection = http.client.HTTPConnection(sys.argv[1], timeout=90)
    connection.request("GET", "/v1/public-ip", headers=headers)
    answer = connection.getresponse()
    address = answer.read().decode().strip()
    print(time.time(), answer.status, address, flush=True)
    headers["If-None-Match"] = answer.headers["ETag"]
    connection.close()
"""
"""Prints when each answer came. It has the clock of the machine, as the test."""


def told(pod: Pod) -> list[tuple[float, str]]:
    """When the pod was told what, one entry for each answer."""
    lines = [line.split(" ", 1) for line in pod.logs().splitlines()]
    return [(float(moment), answer) for moment, answer in lines]


def test_change_reaches_a_waiting_pod(
    kubernetes_cluster: KubernetesCluster, release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pod that long-polls is answered once for each change, with what has changed, and after it."""
    client = {"command": ["python3", "-uc", CLIENT, release.url.removeprefix("http://")]}
    usual, other = public_ip(NODE.address), "198.51.100.99"
    document = {"inline": node_document(NODE.address, public=other)}
    changed = []
    with kubernetes_cluster.run_pod(NODE.name, container=client) as pod:
        await_answers(pod, 1)
        for number in range(CHANGES):
            changed.append(time.time())
            with kubernetes_cluster.simulator.saying(**{NODE.name: document}):
                await_answers(pod, 2 * number + 2)
                changed.append(time.time())
            await_answers(pod, 2 * number + 3)
        answers = told(pod)
    assert [answer for _, answer in answers] == [
        f"200 {usual}",
        *([f"200 {other}", f"200 {usual}"] * CHANGES),
    ]
    delays = [moment - begin for begin, (moment, _) in zip(changed, answers[1:], strict=True)]
    assert min(delays) > 0
    with capsys.disabled():
        figures = ", ".join(f"{delay:.2f}" for delay in delays)
        print(f"\nSeconds from a change to the waiting pod, of an agent that polls every second: {figures}")


def await_answers(pod: Pod, count: int) -> None:
    """Wait until the pod has been answered so often."""
    assert poll_until(lambda: len(told(pod)) >= count, deadline_s=DEADLINE_S), pod.logs()
