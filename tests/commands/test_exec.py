"""`exec`: wait, put the facts into the environment, and become the command."""

import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sidecar.core.addresses import parse_address
from tests.api.support import NODE, api_running
from tests.support.program import Program, program_running
from tests.support.states import answer, body, none_accepted, pair, restored, snapshot_after, snapshot_of

DATA = answer(body(public=[pair("20.1.2.3"), pair("20.9.9.9", "10.240.0.5")], outbound=[pair("52.1.1.1")]))

PRINT_ENVIRONMENT = "import json, os, sys; print(json.dumps([os.getpid(), sys.argv[1:], dict(os.environ)]))"

IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)

Exec = Callable[..., Awaitable[Program]]
"""Starts ``exec`` with these arguments, of an agent that knows `DATA`."""


@pytest.fixture
async def execute(tmp_path: Path) -> AsyncIterator[Exec]:
    """The command, with an agent whose node has the address 10.240.0.5."""
    async with AsyncExitStack() as stack:
        running = api_running(snapshot_after(DATA), node_address=parse_address("10.240.0.5"))
        api = await stack.enter_async_context(running)

        async def start(*arguments: str, **variables: str) -> Program:
            given = ("exec", "--upstream=http://{}:{}".format(*api.address), *arguments)
            environment = {"GREETING": "hello", **variables}
            program = program_running(*given, directory=tmp_path, environment=environment)
            return await stack.enter_async_context(program)

        yield start


async def facts(program: Program) -> dict[str, str]:
    """The facts in the environment of a command that printed it."""
    assert await program.exit_code() == 0
    _, _, environment = json.loads(program.output)
    prefix = "AZURE_LB_"
    return {
        name.removeprefix(prefix): value
        for name, value in environment.items()
        if name.startswith(prefix) and not name.startswith(f"{prefix}METADATA_")
    }


async def test_facts(execute: Exec) -> None:
    """All variables are there, as the agent says them, in addition to what was there."""
    program = await execute("--", sys.executable, "-c", PRINT_ENVIRONMENT)

    assert await facts(program) == {
        "NODE": NODE,
        "STATUS": "ok",
        "PUBLIC_IP": "20.9.9.9",
        "PUBLIC_IPV6": "",
        "PUBLIC_IPS": "20.1.2.3,20.9.9.9",
        "INBOUND_IPS": "",
        "OUTBOUND_IPS": "52.1.1.1",
        "EGRESS_IPS": "20.1.2.3,20.9.9.9",
        "EGRESS_NETWORKS": "",
        "EGRESS_OBSERVED": "",
    }
    assert json.loads(program.output)[2]["GREETING"] == "hello"
    assert program.log == ""


async def test_own_address(execute: Exec) -> None:
    """A node address of its own decides which public IP comes first."""
    program = await execute("--", sys.executable, "-c", PRINT_ENVIRONMENT, HOST_IP="10.240.0.4")

    assert (await facts(program))["PUBLIC_IP"] == "20.1.2.3"


async def test_command_is_the_process(execute: Exec) -> None:
    """The command takes the place of the process, with its arguments as they are."""
    arguments = ["--timeout=1s", "--", "a b", ""]
    program = await execute("--for=public-ip", "--", sys.executable, "-c", PRINT_ENVIRONMENT, *arguments)

    assert await program.exit_code() == 0
    pid, given, _ = json.loads(program.output)
    assert (pid, given) == (program.pid, arguments)


async def test_exit_code_and_signals_are_the_commands(execute: Exec) -> None:
    """The exit code is the command's, whose signals are as a shell would leave them."""
    program = await execute("--", "/bin/sh", "-c", "grep SigIgn: /proc/self/status; exit 7")

    assert await program.exit_code() == 7
    ignored = int(program.output.split()[1], 16)
    assert {number for number in IGNORED_BY_PYTHON if ignored & 1 << (number - 1)} == set()


@pytest.mark.parametrize(
    ("command", "code"),
    [("no-such-command", 127), ("/no/such/command", 127), ("/etc/hostname", 126), ("/etc", 126)],
)
async def test_command_that_cannot_run(execute: Exec, command: str, code: int) -> None:
    """What cannot be run has the codes and the one line that a shell has for it."""
    program = await execute("--", command)

    assert await program.exit_code() == code
    assert program.log.startswith(f"azure-lb-metadata exec: {command}: ")
    assert program.log.count("\n") == 1


@pytest.mark.parametrize(
    ("condition", "code"), [("egress-in=52.1.1.1", 5), ("egress-in=20.0.0.0/8", 0), ("public-ip", 0)]
)
async def test_condition(execute: Exec, condition: str, code: int) -> None:
    """What does not come in time is not executed, and has the codes of `wait`."""
    program = await execute(f"--for={condition}", "--timeout=3s", "--", "/bin/echo", "ran")

    assert await program.exit_code() == code
    assert program.output == ("" if code else "ran\n")


async def test_none(tmp_path: Path) -> None:
    """Where there is none, nothing is executed."""
    async with api_running(none_accepted()) as api:
        url = "http://{}:{}".format(*api.address)
        arguments = ("exec", f"--upstream={url}", "--timeout=3s", "--", "/bin/echo", "ran")
        async with program_running(*arguments, directory=tmp_path) as program:
            assert await program.exit_code() == 3
            assert program.output == ""


async def test_stale(tmp_path: Path) -> None:
    """Stale data are data, and the command can tell."""
    async with api_running(snapshot_of(restored(DATA.document, age=3600.0))) as api:
        url = "http://{}:{}".format(*api.address)
        script = ("/bin/sh", "-c", 'echo "$AZURE_LB_STATUS $AZURE_LB_PUBLIC_IP"')
        async with program_running("exec", f"--upstream={url}", "--", *script, directory=tmp_path) as program:
            assert await program.exit_code() == 0
            assert program.output == "stale 20.1.2.3\n"


@pytest.mark.parametrize(
    "arguments",
    [(), ("--",), ("/bin/true",), ("/bin/true", "--", "/bin/true"), ("--for=x", "--", "/bin/true")],
    ids=" ".join,
)
async def test_usage(execute: Exec, arguments: tuple[str, ...]) -> None:
    """Without two dashes and a command after them, there is nothing to execute: 2, in one line."""
    program = await execute(*arguments)

    assert await program.exit_code() == 2
    assert program.log.count("\n") == 1
