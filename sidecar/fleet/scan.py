"""One scan of the nodes of one or several clusters, and the arguments that choose them."""

import asyncio
from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sidecar.clock import now
from sidecar.commands.arguments import (
    REQUEST_TIMEOUT,
    Parser,
    add_api_server_arguments,
    add_prefix_argument,
    duration,
)
from sidecar.core.annotations import Layout
from sidecar.core.cluster import ClusterNode, StaticGateway, agents_by_node
from sidecar.errors import Error
from sidecar.fleet.row import Agents, NodeRow, NodeStatus, View, row
from sidecar.kube import ForbiddenError, KubernetesError
from sidecar.kube.access import LoadingRules, context_names
from sidecar.kube.listing import AGENT_SELECTOR, FleetClient, OnRetry, connect_fleet

_AT_A_TIME = 4
"""Clusters that are read concurrently."""

_OLDEST = 3 * 3600.0
"""Seconds: more than twice the agents' heartbeat interval, the longest that a healthy one is silent."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which nodes to scan, and where their agents are."""

    kubeconfig: str | None = None
    request_timeout: float = REQUEST_TIMEOUT
    """Seconds for each request."""
    layout: Layout
    selector: str = ""
    agent_namespace: str | None = None
    agent_selector: str = AGENT_SELECTOR
    oldest: float | None = _OLDEST
    """Seconds, see `View`."""
    static_gateways: bool = False
    """Whether to look for static egress gateways, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The result for one cluster."""

    cluster: str
    """Its context; empty if it is the only cluster."""
    rows: Sequence[NodeRow] = ()
    """Sorted by the name of the node."""
    gateways: Sequence[StaticGateway] | None = ()
    """Sorted by namespace and name; ``None``: they could not be read."""
    problems: Sequence[str] = ()
    """What could not be read, and the right that is missing."""
    error: Error | None = None
    """Why there are no rows."""

    def named(self, text: str) -> str:
        """A text with the cluster's name before it, where there are several."""
        return f"{self.cluster}: {text}" if self.cluster else text


def add_selection_arguments(parser: Parser) -> None:
    """Add the arguments that choose the nodes, except for the context."""
    parser.add_argument("-l", "--selector", default="", metavar="LABELS", help="only Nodes with these labels")
    add_api_server_arguments(parser)
    add_prefix_argument(parser, purpose="of the keys to read")
    parser.add_argument(
        "--agent-namespace",
        metavar="NAMESPACE",
        help="where the agents are; rights are needed in it only [all]",
    )
    parser.add_argument(
        "--agent-selector", metavar="LABELS", default=AGENT_SELECTOR, help=f"of their pods [{AGENT_SELECTOR}]"
    )
    parser.add_argument(
        "--max-age",
        type=lambda text: None if text == "0" else duration(text),
        default=_OLDEST,
        metavar="DURATION",
        help="data older than this are taken for unknown; more than twice the agents' heartbeat interval, "
        "0 for any age [3h]",
    )


def selection_of(parsed: Namespace) -> Selection:
    """The selection that the arguments make."""
    return Selection(
        kubeconfig=parsed.kubeconfig,
        request_timeout=parsed.request_timeout,
        layout=Layout(prefix=parsed.annotation_prefix),
        selector=parsed.selector,
        agent_namespace=parsed.agent_namespace,
        agent_selector=parsed.agent_selector,
        oldest=parsed.max_age,
    )


async def contexts_of(parsed: Namespace) -> list[str | None]:
    """The contexts that the arguments name, at least one; ``None``: the current one, or the pod's account.

    Raises:
        KubeConfigError: there is no usable kubeconfig, or it has no contexts.
    """
    if parsed.all_contexts:
        return list(dict.fromkeys(await context_names(LoadingRules(kubeconfig=parsed.kubeconfig))))
    return list(dict.fromkeys(parsed.context or [])) or [None]


async def scan_all(
    contexts: Sequence[str | None],
    selection: Selection,
    *,
    read: Callable[[int], None],
    on_retry: OnRetry,
) -> list[Scan]:
    """Scan several clusters, a few at a time; one that cannot be read gives a scan with an error.

    Args:
        contexts: Of the kubeconfig.
        selection: Which nodes.
        read: Called with the number of Nodes read so far, of all clusters.
        on_retry: Called with the failure of each request that is repeated.
    """
    places = asyncio.Semaphore(_AT_A_TIME)
    counts: dict[str, int] = {}

    async def one(context: str | None) -> Scan:
        cluster = context or "" if len(contexts) > 1 else ""

        def count(nodes: int) -> None:
            counts[cluster] = nodes
            read(sum(counts.values()))

        async with places:
            try:
                async with connect_fleet(
                    kubeconfig=selection.kubeconfig,
                    context=context,
                    timeout=selection.request_timeout,
                    on_retry=on_retry,
                ) as client:
                    return await scan(client, selection, cluster=cluster, read=count)
            except Error as error:
                return Scan(cluster=cluster, error=error)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(context)) for context in contexts]
    return [task.result() for task in tasks]


async def scan(
    client: FleetClient,
    selection: Selection,
    *,
    cluster: str = "",
    read: Callable[[int], None] = lambda _: None,
    visit: Callable[[ClusterNode, NodeRow], None] = lambda _node, _row: None,
) -> Scan:
    """Read the agents and Nodes of a cluster, and judge each Node.

    Args:
        client: Of the cluster.
        selection: Which nodes.
        cluster: Its name in the rows.
        read: Called with the number of Nodes read so far.
        visit: Called with each Node and its row, since no Node is kept; a Node may come twice.

    Raises:
        KubernetesError: the Nodes could not be read.
    """
    problems: list[str] = []
    pods = await allowed(
        client.agent_pods(namespace=selection.agent_namespace, selector=selection.agent_selector),
        lacking="pods could not be listed, so no agent is known to be up (--agent-namespace NAMESPACE "
        "asks for that right in one namespace only)",
        problems=problems,
    )
    # Matters only if a node turns out to have no agent.
    unexplained: list[str] = []
    daemon_sets = await allowed(
        client.agent_daemon_sets(namespace=selection.agent_namespace, selector=selection.agent_selector),
        lacking="DaemonSets could not be listed, so it is not said why a node has no agent",
        problems=unexplained,
    )
    prefix = selection.layout.prefix
    agents = Agents(
        None if pods is None else agents_by_node(pods, prefix=prefix),
        None if daemon_sets is None else [each for each in daemon_sets if each.prefix == prefix],
    )
    view = View(now=now().utc, layout=selection.layout, oldest=selection.oldest, cluster=cluster)
    rows: dict[str, NodeRow] = {}
    async for page in client.nodes(selector=selection.selector):
        for node in page:
            rows[node.name] = judged = row(node, agents, view=view)
            visit(node, judged)
        read(len(rows))
    ordered = [judged for _, judged in sorted(rows.items())]
    if any(each.standing is NodeStatus.NO_AGENT for each in ordered):
        problems += unexplained
    gateways: Sequence[StaticGateway] | None = ()
    if selection.static_gateways:
        gateways = await _static_gateways(client, problems=problems)
    return Scan(cluster=cluster, rows=ordered, gateways=gateways, problems=problems)


async def _static_gateways(client: FleetClient, *, problems: list[str]) -> list[StaticGateway] | None:
    """The static egress gateways, or ``None`` if they cannot be read, which is added to the problems.

    Whatever is wrong with them: the list of the nodes is worth having without them.
    """
    try:
        return sorted(await client.static_gateways(), key=lambda each: (each.namespace, each.name))
    except KubernetesError as error:
        advice = error.advice if isinstance(error, ForbiddenError) else ""
        problems.append(
            "staticgatewayconfigurations.egressgateway.kubernetes.azure.com could not be listed, so prefixes "
            f"of static egress gateways may be missing: {advice or error}"
        )
        return None


async def allowed(reading: Awaitable[_Value], *, lacking: str, problems: list[str]) -> _Value | None:
    """The result, or ``None`` if reading is forbidden, which is added to the problems."""
    try:
        return await reading
    except ForbiddenError as error:
        problems.append(f"{lacking}: {error.advice or error}")
        return None
