"""Nothing is left of a network: no namespace, process, mount or folder, however its run has ended."""

import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.harness.system import run, start_time
from tests.support.program import CHECKOUT
from tests.translation import namespaces
from tests.translation.network import Network, network as made
from tests.translation.servers import echo_server, stun_server

RUN = """
import signal
import subprocess
from tests.translation.network import network
with network() as made:
    left = subprocess.Popen(made.program("sleep", "600"))
    print(made.folder.name, left.pid, flush=True)
    signal.pause()
"""
"""A run that leaves a program in its node."""


def remains(name: str) -> list[str]:
    """What there is of a run: its namespaces and folder, and mounts of them."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return [
        *(found for found in namespaces.there() if found == name),
        *(line for line in mounts if name in line),
    ]


def processes(network: Network) -> list[int]:
    """What runs in its namespaces."""
    places = (network.node, network.gateway, network.outside)
    return [int(pid) for place in places for pid in run("ip", "netns", "pids", place.name).split()]


def test_nothing_remains() -> None:
    """Servers end with their blocks, and what still runs in the node with the network."""
    with ExitStack() as undo:
        network = undo.enter_context(made())
        left = subprocess.Popen(network.program("sleep", "600"))
        undo.callback(left.kill)
        with stun_server(network), echo_server(network):
            there = processes(network)
            assert len(there) == 3
            assert remains(network.folder.name)
        assert processes(network) == [left.pid]
        namespaces.remove(network.folder.name)
        assert left.wait(namespaces.END_DEADLINE_S) == -signal.SIGKILL
    assert [pid for pid in there if start_time(pid)] == []
    assert remains(network.folder.name) == []


def test_nothing_remains_of_a_failure() -> None:
    """A block that fails is cleaned up after as well, and its own error is what is raised."""
    with pytest.raises(ZeroDivisionError), made() as network:
        _ = 1 / 0
    assert remains(network.folder.name) == []


def test_left_overs_of_a_killed_run_are_removed() -> None:
    """The next network removes what a killed run left, and lets be what a living one has."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    ) as killed:
        try:
            assert killed.stdout is not None
            name, pid = killed.stdout.readline().split()
            with made():
                assert name in remains(name), "a living run has lost its network"
                assert start_time(int(pid)) is not None, "a living run has lost its program"
        finally:
            killed.kill()
    with made() as network:
        assert remains(name) == []
        assert start_time(int(pid)) is None
        assert network.node.run("ip", "link", "show", "eth0")


def test_names_of_others_are_let_be() -> None:
    """A namespace that is not named as a run's is nobody's left-over."""
    other = f"{namespaces.PREFIX}of-somebody-else"
    run("ip", "netns", "add", other)
    try:
        with made():
            assert (namespaces.NAMED / other).exists()
    finally:
        run("ip", "netns", "delete", other)
