"""``demo``: the simulator and an agent on loopback, to try them.

It annotates a Node only if ``--kubeconfig`` is given: the ambient configuration may be somebody's
production cluster, whose Nodes must not get made-up addresses.
"""

import asyncio
import json
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence

from pydantic import ValidationError

from sidecar.agent import Agent, Listening
from sidecar.api.sockets import bind
from sidecar.commands.arguments import Parser
from sidecar.core.annotations import Layout, annotations, field_manager
from sidecar.core.listen import ListenAddress, parse_listen
from sidecar.core.state import Snapshot
from sidecar.errors import ExitCode, ListenError, UsageError
from sidecar.logs import configure
from sidecar.settings import Settings
from sidecar.simulator import DOCUMENTS, Simulator, parse_scenario, serve
from sidecar.stopping import run

_NODE_ADDRESS = "10.224.0.4"
"""The private address of the machine that the simulator's documents describe."""

_GUIDE = """
The metadata service is simulated at {imds}, the agent answers at {api}

  curl -s {api}/v1/public-ip
  curl -s {api}/v1/loadbalancer

{published}

Break it: the service answers 503 from now on. Watch status and Age; the address stays.
  curl -s -X PUT --data unavailable {control}/fault
  curl -si {api}/v1/public-ip
Mend it:
  curl -s -X DELETE {control}/fault
Other documents and faults: curl -s {control}/

Ctrl-C ends it.
"""


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT."""
    parser = Parser("demo", description="Run the simulator and an agent on loopback, to try them.")
    parser.add_argument(
        "--document",
        choices=sorted(DOCUMENTS),
        default="all",
        metavar="NAME",
        help="the document of the simulated service [all]",
    )
    parser.add_argument("--kubeconfig", metavar="PATH", help="also annotate a Node of this cluster")
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig file")
    parser.add_argument("--node-name", metavar="NAME", help="the Node to annotate")
    parsed = parser.parse_args(arguments)
    if (parsed.kubeconfig is None) != (parsed.node_name is None):
        raise UsageError("--kubeconfig and --node-name go together: made-up addresses need a Node by name")
    configure(log_format="text", level="info")
    run(_demo(parsed))
    return ExitCode.DONE


async def _demo(parsed: Namespace) -> None:
    """Run simulator and agent, and print the guide once the agent has a document.

    Raises:
        UsageError: no Node can have the name.
    """
    async with serve(Simulator(parse_scenario(f"document: {parsed.document}"))) as serving:
        try:
            # Short durations, so that there is something to watch.
            settings = _DemoSettings(
                imds_endpoint=serving.url,
                annotations=parsed.kubeconfig is not None,
                poll_interval=2.0,
                stale_after=15.0,
                absent_after=15.0,
                write_splay=2.0,
                listen=_free("127.0.0.1:16925"),
                admin_listen=_free("127.0.0.1:16926"),
                kubeconfig=parsed.kubeconfig,
                context=parsed.context,
                node_name=parsed.node_name or "demo-node",
                node_address=_NODE_ADDRESS,
            )
        except ValidationError as error:
            wrong = error.errors()[0]
            option = str(wrong["loc"][0]).replace("_", "-")
            raise UsageError(f"--{option}: {wrong['ctx']['error']}") from error
        agent = Agent(settings)
        # The agent's end need not wait until endpoints are removed.
        agent.stopping.at_once.set()
        listening: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()

        async def guide() -> None:
            address = (await listening).api[0]
            if isinstance(address, str):
                raise TypeError("the demo listens on TCP")
            snapshot = agent.latest.value
            while snapshot.state.document is None:
                snapshot = await agent.latest.changed(snapshot)
            sys.stdout.write(
                _GUIDE.format(
                    imds=serving.url,
                    control=serving.control_url,
                    api=f"http://{address[0]}:{address[1]}",
                    published=_published(parsed, snapshot),
                )
            )
            sys.stdout.flush()

        def guided(task: asyncio.Task[None]) -> None:
            # Without its guide the demo is of no use; the error is raised below.
            if not task.cancelled() and task.exception() is not None:
                agent.stopping.request()

        guiding = asyncio.create_task(guide())
        guiding.add_done_callback(guided)
        with agent.stopping.on_signals():
            try:
                await agent.run(on_listening=listening.set_result)
            finally:
                guiding.cancel()
                await asyncio.wait([guiding])
                if not guiding.cancelled():
                    guiding.result()


class _DemoSettings(Settings):
    """Settings that ignore the environment, which may be meant for an agent of a real node."""

    from_environment = False


def _free(address: str) -> ListenAddress | None:
    """This address, or a free port of loopback if its port is taken."""
    wanted = parse_listen(address)
    if wanted is None:
        return None
    try:
        for socket in bind(wanted, setting="--listen"):
            socket.close()
    except ListenError:
        return parse_listen("127.0.0.1:0")
    return wanted


def _published(parsed: Namespace, snapshot: Snapshot) -> str:
    """The command that shows the annotated Node, or the request that would annotate one."""
    if parsed.kubeconfig is not None:
        command = [
            "kubectl",
            "--kubeconfig",
            parsed.kubeconfig,
            "get",
            "node",
            parsed.node_name,
            "-o",
            "yaml",
        ]
        return f"The Node {parsed.node_name} is annotated:\n\n  {shlex.join(command)}"
    layout = Layout()
    values = annotations(snapshot.state, snapshot.status, snapshot.reason, layout=layout)
    patch = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "NODE", "uid": "UID", "annotations": values},
    }
    manager = field_manager(layout.prefix)
    return (
        f"On a cluster it would apply this (PATCH /api/v1/nodes/NODE?fieldManager={manager}&force=true):\n\n"
        f"{json.dumps(patch, indent=2)}"
    )
