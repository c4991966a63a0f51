"""`wait`: 0 once a condition holds, else an exit code that says how things stand."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest

from sidecar.core.egress import Observation, declared_networks
from sidecar.core.probes import Flow, parse_probe
from sidecar.core.state import Snapshot, State
from sidecar.simulator import Serving
from tests.api.support import API, NODE, api_running
from tests.support.program import Program, program_running
from tests.support.states import (
    EPOCH,
    answer,
    body,
    none_accepted,
    pair,
    restored,
    snapshot_after,
    snapshot_of,
    unreachable,
)
from tests.support.waiting import until_holds

WITHOUT_PUBLIC_IP = answer(body(outbound=[pair("52.1.1.1")]))
WITH_PUBLIC_IP = answer(body(public=[pair("20.1.2.3")], outbound=[pair("52.1.1.1")]))

Wait = Callable[..., Awaitable[Program]]
"""Starts ``wait`` with these arguments."""


@pytest.fixture
def service(service: Serving) -> Serving:
    """A metadata service of a machine without a public IP address."""
    service.simulator.set_document({"raw": body(outbound=[pair("52.1.1.1")]).decode()})
    return service


@pytest.fixture
async def wait(service: Serving, free_port: int, tmp_path: Path) -> AsyncIterator[Wait]:
    """The command on a host without an agent."""
    environment = {
        "AZURE_LB_METADATA_IMDS_ENDPOINT": service.url,
        "AZURE_LB_METADATA_LISTEN": f"127.0.0.1:{free_port}",
        "AZURE_LB_METADATA_POLL_INTERVAL": "50ms",
    }
    async with AsyncExitStack() as stack:

        async def start(*arguments: str, **variables: str) -> Program:
            return await stack.enter_async_context(
                program_running(
                    "wait", *arguments, directory=tmp_path, environment={**environment, **variables}
                )
            )

        yield start


async def held(api: API) -> None:
    """Wait until a client waits at the agent."""
    await until_holds(lambda: api.waiting)


class TestHeld:
    """0, and not a word."""

    @pytest.mark.parametrize("condition", ["data", "egress-in=52.1.0.0/16"])
    async def test_at_once(self, wait: Wait, service: Serving, condition: str) -> None:
        """What holds already is not waited for: one request to the metadata service."""
        program = await wait(f"--for={condition}")

        assert await program.exit_code() == 0
        assert (program.output, program.log) == ("", "")
        assert service.simulator.counters.requests == 1

    async def test_later(self, wait: Wait, service: Serving) -> None:
        """The metadata service is asked again, whatever it does meanwhile."""
        service.simulator.set_fault({"name": "unavailable", "times": 1})
        program = await wait("--for=public-ip")
        await service.simulator.counters.reached(4)
        service.simulator.set_document({"raw": body(public=[pair("20.1.2.3")]).decode()})

        assert await program.exit_code() == 0

    async def test_by_the_agent(self, wait: Wait, service: Serving) -> None:
        """The agent holds the request until there is news, and the metadata service is not asked."""
        async with api_running(snapshot_after(WITHOUT_PUBLIC_IP)) as api:
            program = await wait("--for", "public-ip", f"--upstream={api.url}")
            await held(api)
            api.latest.set(snapshot_after(WITHOUT_PUBLIC_IP, WITH_PUBLIC_IP))
            assert await program.exit_code() == 0

        assert service.simulator.counters.requests == 0

    async def test_agent_on_this_host(self, wait: Wait, service: Serving) -> None:
        """An agent on this host is asked without being named, and its stale data are data."""
        known = snapshot_of(restored(WITH_PUBLIC_IP.document, age=3600.0))
        async with api_running(known) as api:
            listen = "{}:{}".format(*api.address)
            program = await wait("--for=public-ip", AZURE_LB_METADATA_LISTEN=listen, NODE_NAME=NODE)
            assert await program.exit_code() == 0

        assert service.simulator.counters.requests == 0

    async def test_agent_starts(self, wait: Wait) -> None:
        """A named agent that has no answer yet is waited for."""
        async with api_running(snapshot_after(unreachable())) as api:
            program = await wait(f"--upstream={api.url}")
            await held(api)
            api.latest.set(snapshot_after(WITH_PUBLIC_IP))
            assert await program.exit_code() == 0


STARTING = snapshot_of(State(started=EPOCH))
PROBE = parse_probe("stun:stun.example.org")
OWN = ip_address("10.240.0.4")


def egress(*seen: str, networks: str = "") -> Snapshot:
    """An agent whose probe saw these addresses, and whose operator declared these networks."""
    flows = [Flow(probe=PROBE, family=4, address=ip_address(address), own=OWN) for address in seen]
    state = State(
        started=EPOCH,
        declared=declared_networks(networks.split(",") if networks else ()),
        observation=Observation((PROBE,)).after_round(flows, now=EPOCH, keep=86_400.0),
    )
    return snapshot_after(WITH_PUBLIC_IP, state=state)


@pytest.mark.parametrize(
    ("snapshot", "condition"),
    [
        (egress("20.1.2.3"), "egress-observed"),
        (egress("20.7.7.7"), "egress-observed"),
        (egress(networks="20.5.0.0/16"), "egress-in=20.0.0.0/8"),
    ],
    ids=["listed", "unlisted", "declared"],
)
async def test_egress_holds(wait: Wait, snapshot: Snapshot, condition: str) -> None:
    """An observed address holds whether it is listed or not; a declared network within another does."""
    async with api_running(snapshot) as api:
        program = await wait(f"--for={condition}", f"--upstream={api.url}")
        assert (await program.exit_code(), program.log) == (0, "")


async def test_egress_observed_later(wait: Wait) -> None:
    """The agent holds the request until a probe has seen an address."""
    async with api_running(egress()) as api:
        program = await wait("--for=egress-observed", f"--upstream={api.url}")
        await held(api)
        api.latest.set(egress("20.7.7.7"))
        assert await program.exit_code() == 0


@pytest.mark.parametrize(
    ("snapshot", "condition", "code", "words"),
    [
        (snapshot_after(WITHOUT_PUBLIC_IP), "public-ip", 3, "the node has no public IP address"),
        (none_accepted(), "data", 3, "has no load balancer metadata"),
        (none_accepted(), "egress-in=20.1.2.3", 3, "has no load balancer metadata"),
        (snapshot_after(WITH_PUBLIC_IP), "egress-in=52.1.1.1", 5, "leaves from 20.1.2.3"),
        (STARTING, "data", 4, "there is no answer yet"),
        (egress(networks="20.5.0.0/16"), "egress-in=20.5.5.0/24", 5, "leaves from 20.5.0.0/16"),
        (snapshot_after(WITH_PUBLIC_IP), "egress-observed", 3, "the agent has no egress probe"),
        (egress(), "egress-observed", 4, "no egress probe has answered"),
        (egress("10.240.0.4"), "egress-observed", 4, "this side of the address translation"),
    ],
    ids=[
        "no public IP",
        "no metadata",
        "no egress",
        "other egress",
        "starting",
        "other declared",
        "no probe",
        "unanswered",
        "inside",
    ],
)
async def test_end_of_the_time(wait: Wait, snapshot: Snapshot, condition: str, code: int, words: str) -> None:
    """At the end of the time the exit code and one line say how things stand."""
    async with api_running(snapshot) as api:
        program = await wait(f"--for={condition}", f"--upstream={api.url}", "--timeout=3s")
        assert await program.exit_code() == code

    assert program.log.startswith(f"azure-lb-metadata wait: no {condition} within 3s: ")
    assert words in program.log
    assert program.log.count("\n") == 1


class TestNobody:
    """4, with what was the matter."""

    async def test_no_agent(self, wait: Wait, service: Serving) -> None:
        """A named agent that is not there is waited for, and nothing else is queried in its place."""
        program = await wait("--upstream=http://127.0.0.1:9", "--timeout=500ms")

        assert await program.exit_code() == 4
        assert "refused" in program.log.lower()
        assert service.simulator.counters.requests == 0

    async def test_other_nodes_agent(self, wait: Wait) -> None:
        """Another node's agent is not believed."""
        async with api_running(snapshot_after(WITH_PUBLIC_IP)) as api:
            program = await wait(f"--upstream={api.url}", "--timeout=3s", NODE_NAME="other")
            assert await program.exit_code() == 4

        assert "'other'" in program.log

    async def test_no_metadata_service(self, wait: Wait, service: Serving) -> None:
        """A metadata service that does not answer is named with its reason."""
        service.simulator.set_fault("forbidden")
        program = await wait("--direct", "--timeout=3s")

        assert await program.exit_code() == 4
        assert "rejected" in program.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals(wait: Wait, service: Serving, number: signal.Signals) -> None:
    """A signal ends it at once, with the code that a shell gives a program that a signal ended."""
    program = await wait("--for=public-ip")
    await service.simulator.counters.reached(1)
    program.signal(number)

    assert await program.exit_code() == 128 + number
    assert program.log == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--for=everything",),
        ("--for=egress-in=20.1.2.3/24",),
        ("--for=data", "public-ip"),
        ("--timeout=10",),
        ("--direct", "--upstream=http://127.0.0.1:9"),
        ("--upstream=agent",),
    ],
    ids=" ".join,
)
async def test_usage(wait: Wait, service: Serving, arguments: tuple[str, ...]) -> None:
    """Whatever is wrong with the arguments is said in one line, with 2."""
    program = await wait(*arguments)

    assert await program.exit_code() == 2
    assert program.log.count("\n") == 1
    assert service.simulator.counters.requests == 0


async def test_progress_on_a_terminal(service: Serving, tmp_path: Path) -> None:
    """On a terminal it says what it waits for, each time that is something else."""
    script = (
        "import sys; from sidecar import cli;"
        "sys.stderr.isatty = lambda: True; sys.exit(cli.run(sys.argv[1:]))"
    )
    variables = {
        "AZURE_LB_METADATA_IMDS_ENDPOINT": service.url,
        "AZURE_LB_METADATA_LISTEN": "none",
        "AZURE_LB_METADATA_POLL_INTERVAL": "50ms",
    }
    async with program_running(
        "wait", "--for=public-ip", directory=tmp_path, environment=variables, python=("-c", script)
    ) as program:
        await service.simulator.counters.reached(3)
        service.simulator.set_document("none")
        await service.simulator.counters.reached(service.simulator.counters.requests + 3)
        service.simulator.set_document("all")
        assert await program.exit_code() == 0

    assert program.log.splitlines()[0] == "waiting for public-ip: the node has no public IP address"
    assert len(program.log.splitlines()) <= 2
