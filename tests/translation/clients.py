"""Clients on the node that are not ours: coturn's and curl."""

import re
import subprocess
from pathlib import Path

from tests.translation.network import NAME, Network

NO_ANSWER_S = 0.5
"""For what is dropped: nothing comes, however long one waits."""

DEADLINE_S = 30.0
"""After so long a program is stuck: coturn's client has no time-out of its own."""


def stun_client(network: Network, server: str) -> str:
    """The address that coturn's ``turnutils_stunclient`` prints, over UDP."""
    said = network.node.run("turnutils_stunclient", server, deadline_s=DEADLINE_S)
    found = set(re.findall(r"UDP reflexive addr: (\S+):\d+$", said, re.MULTILINE))
    assert len(found) == 1, said
    return str(found.pop())


def curl(network: Network, path: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What curl says of a path of the HTTPS server, by its name, and its exit code."""
    command = (
        "curl",
        "--silent",
        "--show-error",
        "--max-time",
        DEADLINE_S,
        f"https://{NAME}{path}",
        *arguments,
    )
    return subprocess.run(
        network.program(*map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * DEADLINE_S,
    )
