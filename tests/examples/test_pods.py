"""The containers of the pods, run against an agent: what they write, print and do when an address changes."""

import json
from pathlib import Path

import pytest

from sidecar.simulator import Serving
from tests.examples.containers import HOST_IP, Container, PodOnDisk, pod_of, stand_in
from tests.examples.support import Running, document, running, said_by
from tests.support.agent import AgentProcess
from tests.support.states import inbound
from tests.support.waiting import until

PORT = 41932


async def ended(container: Container, directory: Path) -> tuple[int | None, str, str]:
    """Run a container to its end."""
    return await said_by(*container.command, directory=directory, extra=container.environment)


async def test_init_container(agent: AgentProcess, tmp_path: Path) -> None:
    """The init container writes variables and the broker's configuration, which the broker reads."""
    pod = PodOnDisk(pod_of("init-container/pod.yaml"), tmp_path / "pod", agent.url)
    code, _, errors = await ended(pod.container("public-address"), tmp_path)
    assert (code, errors) == (0, "")
    assert "AZURE_LB_PUBLIC_IP=20.1.2.3\n" in (pod.volume("/work") / "lb.env").read_text()

    stand_in(pod.programs, "python3", 'echo "serving: $*"')
    code, output, errors = await ended(pod.container("broker"), tmp_path)
    assert (code, errors) == (0, "")
    assert output.splitlines() == [
        "advertised.listeners=EXTERNAL://20.1.2.3:9094",
        f"serving: -m http.server 9094 --directory {pod.volume('/work')}",
    ]


async def test_init_container_waits(service: Serving, agent: AgentProcess, tmp_path: Path) -> None:
    """While the node has no public address nothing is written; it ends once there is one."""
    service.simulator.set_document(document(outbound=["20.9.9.9"]))
    await agent.until_document(lambda reply: "20.1.2.3" not in reply.text)
    pod = PodOnDisk(pod_of("init-container/pod.yaml"), tmp_path / "pod", agent.url)
    container = pod.container("public-address")
    async with running(*container.command, directory=tmp_path, extra=container.environment) as program:

        async def waiting() -> float:
            return await agent.metric("azure_lb_metadata_http_waiting_clients")

        await until(waiting, lambda count: count == 1)
        assert list(pod.volume("/work").iterdir()) == []
        service.simulator.set_document(document("20.1.2.4"))
        assert await program.process.wait() == 0
    assert "20.1.2.4:9094" in (pod.volume("/work") / "broker.properties").read_text()


async def test_init_container_says_that_there_is_none(
    service: Serving, agent: AgentProcess, tmp_path: Path
) -> None:
    """Without an address in its time it ends with the code of "there is none"; the kubelet tries again."""
    service.simulator.set_document(document(outbound=["20.9.9.9"]))
    await agent.until_document(lambda reply: "20.1.2.3" not in reply.text)
    pod = PodOnDisk(pod_of("init-container/pod.yaml"), tmp_path / "pod", agent.url)
    container = pod.container("public-address")
    shell, option, script = container.command
    assert "--timeout=5m" in script
    container.command[:] = [shell, option, script.replace("--timeout=5m", "--timeout=3s")]
    code, _, errors = await ended(container, tmp_path)
    assert code == 3, errors


async def game_server(agent: str, directory: Path) -> tuple[PodOnDisk, Container]:
    """The game server, which ends instead of serving."""
    pod = PodOnDisk(pod_of("game-server/pod.yaml"), directory / "pod", agent)
    stand_in(pod.programs, "python3", "exit 0")
    return pod, pod.container("game-server")


async def test_game_server(agent: AgentProcess, tmp_path: Path) -> None:
    """The game server prints its own public address and port, and is ready."""
    pod, container = await game_server(agent.url, tmp_path)
    assert await ended(container, tmp_path) == (0, f"players connect to 20.1.2.3:{PORT}\n", "")
    assert (await ended(pod.probe("game-server", "readinessProbe"), tmp_path))[0] == 0


async def test_game_server_waits(service: Serving, agent: AgentProcess, tmp_path: Path) -> None:
    """Without a way in it waits, and takes the frontend of a rule for its port that comes later."""
    service.simulator.set_document(document(outbound=["20.9.9.9"]))
    await agent.until_document(lambda reply: "20.1.2.3" not in reply.text)
    pod, container = await game_server(agent.url, tmp_path)
    async with running(*container.command, directory=tmp_path, extra=container.environment) as program:

        async def errors() -> str:
            return program.errors

        await until(errors, lambda text: f"no public address leads to port {PORT} yet" in text)
        assert (await ended(pod.probe("game-server", "readinessProbe"), tmp_path))[0] == 1
        rule = inbound("20.5.5.5", 7777, PORT) | {"protocol": "Udp"}
        service.simulator.set_document(document(inbound_rules=[rule]))
        assert await program.process.wait() == 0
        assert program.output == "players connect to 20.5.5.5:7777\n"


async def test_game_server_echoes(agent: AgentProcess, tmp_path: Path) -> None:
    """What stands for the game is a program that starts."""
    pod = PodOnDisk(pod_of("game-server/pod.yaml"), tmp_path / "pod", agent.url)
    stand_in(pod.programs, "python3", 'printf "%s" "$2" > "$TMPDIR/program.py"')
    container = pod.container("game-server")
    container.environment["TMPDIR"] = str(tmp_path)
    await ended(container, tmp_path)
    compile((tmp_path / "program.py").read_text(), "program.py", "exec")


@pytest.fixture
def turn_server(agent: AgentProcess, tmp_path: Path) -> PodOnDisk:
    """The TURN server's pod, whose program prints its configuration."""
    spec = pod_of("turn-server/pod.yaml")
    pod = PodOnDisk(spec, tmp_path / "pod", agent.url, secrets={"secret": "f00d$(x)"})
    stand_in(pod.programs, "turnserver", '[ "$1" = -c ] && cat "$2"')
    return pod


async def sidecar_has(pod: PodOnDisk, sidecar: Running, text: str) -> None:
    """Wait until the file that the sidecar keeps has this."""
    variables = pod.volume("/run/azure-lb-metadata") / "loadbalancer.json.env"

    async def read() -> str:
        assert sidecar.process.returncode is None, sidecar.errors
        return variables.read_text() if variables.exists() else ""

    await until(read, lambda found: text in found)


async def test_turn_server(service: Serving, turn_server: PodOnDisk, tmp_path: Path) -> None:
    """It starts with the address of now; the probe fails when there is another, not when there is none."""
    container = turn_server.container("azure-lb-metadata")
    # One of any free port for a fixed one of the node.
    command = [argument.replace(":16936", ":0") for argument in container.command]
    async with running(*command, directory=tmp_path, extra=container.environment) as sidecar:
        await sidecar_has(turn_server, sidecar, "AZURE_LB_PUBLIC_IP=20.1.2.3\n")
        code, configuration, errors = await ended(turn_server.container("coturn"), tmp_path)
        assert (code, errors) == (0, "")
        lines = configuration.splitlines()
        assert lines[0] == f"external-ip=20.1.2.3/{HOST_IP}"
        assert "static-auth-secret=f00d$(x)" in lines
        assert "denied-peer-ip=169.254.0.0-169.254.255.255" in lines

        alive = turn_server.probe("coturn", "livenessProbe")
        assert await ended(alive, tmp_path) == (0, "", "")
        service.simulator.set_document(document("20.1.2.4"))
        await sidecar_has(turn_server, sidecar, "AZURE_LB_PUBLIC_IP=20.1.2.4\n")
        assert (await ended(alive, tmp_path))[0] == 1
        service.simulator.set_document("none")
        await sidecar_has(turn_server, sidecar, "AZURE_LB_PUBLIC_IP=\n")
        assert await ended(alive, tmp_path) == (0, "", "")
        code, _, errors = await ended(turn_server.container("coturn"), tmp_path)
        assert (code, errors) == (1, "the node has no public IP address\n")


async def test_turn_servers_sidecar_listens_on_loopback_alone(turn_server: PodOnDisk, tmp_path: Path) -> None:
    """On the node's network the sidecar opens no port but the one its probes name, and that on loopback."""
    container = turn_server.container("azure-lb-metadata")
    probes = [
        turn_server.spec["initContainers"][0][kind]["httpGet"] for kind in ("startupProbe", "livenessProbe")
    ]
    (port,) = {probe["port"] for probe in probes}
    assert {probe["host"] for probe in probes} == {"127.0.0.1"}
    command = [argument.replace(f":{port}", ":0") for argument in container.command]
    assert command != container.command
    async with running(
        *command, "--log-format=json", directory=tmp_path, extra=container.environment
    ) as sidecar:

        async def started() -> dict[str, str]:
            lines = map(json.loads, sidecar.errors.splitlines())
            return next((line for line in lines if line["event"] == "started"), {})

        line = await until(started)
    assert line["listen"] == "none"
    assert line["admin_listen"].startswith("127.0.0.1:")
