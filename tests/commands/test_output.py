"""Output that cannot be written: one line and 1; what goes to standard error never takes it along."""

import asyncio
import sys
from collections.abc import Mapping

import pytest

from sidecar.cli import COMMANDS
from sidecar.simulator import Serving
from tests.support.cluster import Cluster
from tests.support.commands import Ended
from tests.support.faults import Origin, Promise, fault
from tests.support.fleet import Fleet, document, published
from tests.support.program import clean_environment

UNWRITABLE = {"full": ("> /dev/full", "No space left on device"), "closed": (">&-", "Bad file descriptor")}
"""What a shell does to standard output, and the system's words for what comes of it."""


async def shell(redirections: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
    """Run the program with redirections of a shell."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-m", "sidecar", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment(environment),
    )
    out, err = await process.communicate()
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture
def host(service: Serving, free_port: int) -> dict[str, str]:
    """The environment of a host without an agent, whose metadata service is simulated."""
    return {
        "AZURE_LB_METADATA_IMDS_ENDPOINT": service.url,
        "AZURE_LB_METADATA_LISTEN": f"127.0.0.1:{free_port}",
    }


ANSWERING = (
    ("get",),
    ("get", "-o", "json"),
    ("doctor",),
    ("doctor", "--bundle", "-"),
    ("simulate", "--list"),
    ("run", "--no-annotations", "--print-settings"),
    ("demo",),
)
"""Commands that need no cluster, and print."""


@fault(
    Origin.NODE,
    "Standard output of a command cannot be written: the disk is full, or it is closed",
    Promise(
        served="Not affected: an agent prints nothing there.",
        annotated="Not affected.",
        logged="One line with the system's words on standard error, and exit code 1.",
        recovery="When the command is run again.",
    ),
)
@pytest.mark.parametrize("how", UNWRITABLE)
@pytest.mark.parametrize("arguments", [*ANSWERING, *((each, "--help") for each in COMMANDS)], ids=" ".join)
async def test_unwritable(how: str, arguments: tuple[str, ...], host: dict[str, str]) -> None:
    """A command whose output cannot be written says so in one line at the end, and ends with 1."""
    redirection, words = UNWRITABLE[how]
    ended = await shell(redirection, *arguments, environment=host)
    assert ended.code == 1
    last = ended.err.splitlines()[-1]
    assert last == f"azure-lb-metadata {arguments[0]}: standard output cannot be written: {words}"
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    "arguments", [("get",), ("wait",), ("exec", "--", "echo", "here"), ("doctor",)], ids=" ".join
)
async def test_standard_error_that_is_lost(
    redirection: str, arguments: tuple[str, ...], host: dict[str, str]
) -> None:
    """Without standard error, output and exit code are the same as with it."""
    usual = await shell("", *arguments, environment=host)
    ended = await shell(redirection, *arguments, environment=host)
    assert (ended.code, ended.err) == (usual.code, "")
    assert ended.out.count("\n") == usual.out.count("\n")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
async def test_wrong_usage_without_standard_error(redirection: str) -> None:
    """An error that cannot be printed still has its exit code."""
    ended = await shell(redirection, "get", "no-such-thing")
    assert (ended.code, ended.out) == (2, "")


async def test_nothing_to_print(host: dict[str, str]) -> None:
    """A command that prints nothing does not mind."""
    assert (await shell(">&-", "wait", environment=host)).code == 0
    ended = await shell(">&-", "exec", "--", "sh", "-c", "echo here >&2", environment=host)
    assert (ended.code, ended.err) == (0, "here\n")


@pytest.mark.apiserver
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize("arguments", [("nodes",), ("nodes", "--egress"), ("rules",)], ids=" ".join)
async def test_lists_without_standard_error(
    redirection: str, arguments: tuple[str, ...], cluster: Cluster, fleet: Fleet
) -> None:
    """The list is complete when the messages on standard error are lost."""
    await fleet.add("node", published(document(public=["20.1.2.3"], inbound=[("20.1.2.3", 443)])))
    where = (f"--kubeconfig={cluster.server.admin_kubeconfig}", f"--selector={fleet.selector}")
    ended = await shell(redirection, *arguments, *where)
    assert (ended.code, ended.err) == (0, "")
    assert "20.1.2.3" in ended.out


@pytest.mark.apiserver
@pytest.mark.parametrize("how", UNWRITABLE)
@pytest.mark.parametrize("arguments", [("nodes",), ("nodes", "--egress"), ("rules",)], ids=" ".join)
async def test_lists_that_cannot_be_written(
    how: str, arguments: tuple[str, ...], cluster: Cluster, fleet: Fleet
) -> None:
    """A list that cannot be written is a failure, also where there is none."""
    await fleet.add("node", published(document(public=["20.1.2.3"])))
    where = (f"--kubeconfig={cluster.server.admin_kubeconfig}", f"--selector={fleet.selector}")
    redirection, words = UNWRITABLE[how]
    ended = await shell(redirection, *arguments, *where)
    assert ended.code == 1
    assert ended.err.endswith(f"standard output cannot be written: {words}\n")
