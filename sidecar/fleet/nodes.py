"""``nodes``: the load balancer metadata of all nodes of one or several clusters."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from ipaddress import ip_network

from sidecar.clock import now
from sidecar.commands.arguments import Parser, duration, written_as
from sidecar.commands.tables import NONE, UNKNOWN, as_csv, as_form, as_table, counted, shortened
from sidecar.core.addresses import is_in
from sidecar.core.egress import EgressBasis, EgressState
from sidecar.core.instant import age, rfc3339
from sidecar.core.published import Published
from sidecar.errors import EmptyError, ExitCode, UsageError
from sidecar.fleet import nodes_egress, progress
from sidecar.fleet.row import NodeRow, NodeStatus, differing
from sidecar.fleet.scan import add_selection_arguments, contexts_of, scan_all, selection_of
from sidecar.stopping import run_until_terminated

_INTERVAL = 60.0
"""Seconds between two scans of ``--watch``."""

FORMS = ("table", "wide", "csv", "json", "yaml")

_HEADER = ("NODE", "STATUS", "AGE", "CHANGED", "PUBLIC", "INBOUND", "EGRESS")
_PROBED_HEADER = "OBSERVED"
"""A column that is only there where a node has probes."""
_WIDE_HEADER = ("BASIS", "RULES", "POOL", "AGENT", "DIFFERS", "DETAIL")
_LISTS = {
    "publicIps": "public_ips",
    "inboundIps": "inbound_ips",
    "outboundIps": "outbound_ips",
    "egressIps": "egress_ips",
}
_PROBED_LISTS = {"egressNetworks": "egress_networks", "egressObserved": "egress_observed"}
"""Of nodes for which networks are declared, or that have probes."""
_CSV_HEADER = (
    *("cluster", "node", "pool", "standing", "status", "detail", "agent", "observedAt", "changedAt"),
    *("publicIp", *_LISTS, "egressBasis", "revision", "differs", "omitted"),
    *(*_PROBED_LISTS, "egressState"),
)
_FEW = 2
"""Addresses that a cell of the table shows; the others are counted."""

_DESCRIPTION = """\
The cluster's nodes: what their agents annotated, and whether it can be relied on now.

A node without a ready agent, or whose kubelet has stopped, is never "ok", whatever its annotations say.
With --egress: the egress addresses of all nodes and of static egress gateways, one CIDR a line, for others
to allow.
"""

_EPILOG = """\
columns:
  STATUS   ok; stale, starting, no-metadata: as the agent reports, with its reason; unknown: the present
           state of the node cannot be known, and why; no agent: with the taint or label, and the chart's
           value to change (instead of all, nodes may be a list of tolerations)
  AGE      time since the data were last confirmed; while nothing changes, written about once an hour
  CHANGED  time since the addresses or rules last changed
  PUBLIC, INBOUND, EGRESS
           instance IPs; frontends of inbound rules; declared networks and egress addresses outside them.
           * differs from most nodes, ? left out for the annotation budget
  OBSERVED only where nodes have egress probes: agrees; unlisted, with what was seen and is neither declared
           nor configured; inside: the probes are on this side of the translation; unanswered

rights, in the cluster:
  nodes       list
  pods        list  (with --agent-namespace in that namespace only)
  daemonsets  list  (the same; only to say why a node has no agent)
  staticgatewayconfigurations.egressgateway.kubernetes.azure.com
              list  (with --egress, where the cluster has them)

exit codes:
  0  all nodes are known
  1  failed
  2  wrong usage
  3  there are no such nodes
  4  no API server could be reached
  5  a node or a cluster is not known; with --egress also: probes saw an address that is not listed, a static
     gateway has no prefix, or the list differs from what was given
"""


def main(arguments: Sequence[str]) -> int:
    """Print the table of nodes, or the list of egress addresses.

    Raises:
        UsageError: arguments or kubeconfig are wrong.
        EmptyError: there are no such Nodes.
        KubernetesError: the Nodes of no cluster could be read.
    """
    parser = Parser("nodes", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "-o", "--output", choices=(*FORMS, "text"), help="[table]; with --egress text, json or yaml [text]"
    )
    contexts = parser.add_mutually_exclusive_group()
    contexts.add_argument(
        "--context", action="append", metavar="NAME", help="context of the kubeconfig; may be repeated"
    )
    contexts.add_argument("--all-contexts", action="store_true", help="all contexts of the kubeconfig")
    add_selection_arguments(parser)
    listing = parser.add_argument_group("the list to allow")
    listing.add_argument("--egress", action="store_true", help="print the egress addresses of all nodes")
    listing.add_argument(
        "--observed",
        action="store_true",
        help="also list what probes saw and nobody declared or configured, each marked with # observed",
    )
    listing.add_argument(
        "--within",
        action="append",
        type=written_as(ip_network),
        metavar="CIDR",
        help="exit 5 if an address lies outside; may be repeated",
    )
    listing.add_argument(
        "--diff",
        metavar="FILE",
        help="print only the differences from this list of networks: + is missing there, - covers no address",
    )
    listing.add_argument(
        "--watch", action="store_true", help="keep scanning and print changes: + added, - removed"
    )
    listing.add_argument(
        "--interval", type=duration, metavar="DURATION", help="with --watch: time between two scans [1m]"
    )
    parsed = parser.parse_args(arguments)
    given = [name for name in ("observed", "within", "diff", "watch", "interval") if getattr(parsed, name)]
    if given and not parsed.egress:
        raise UsageError(f"--{given[0]} is for --egress")
    if parsed.interval and not parsed.watch:
        raise UsageError("--interval is for --watch")
    if parsed.watch and (parsed.within or parsed.diff or parsed.output not in {None, "text"}):
        raise UsageError("--watch goes neither with --within nor --diff, and prints text only")
    forms = nodes_egress.FORMS if parsed.egress else FORMS
    if parsed.output is not None and parsed.output not in forms:
        mode = "with" if parsed.egress else "without"
        raise UsageError(f"-o {parsed.output}: {mode} --egress it is one of {', '.join(forms)}")
    return run_until_terminated(_nodes(parsed))


async def _nodes(parsed: Namespace) -> int:
    # Before any request: the file may be wrong.
    given = nodes_egress.read_networks(parsed.diff) if parsed.diff else None
    selection = replace(selection_of(parsed), static_gateways=parsed.egress)
    contexts = await contexts_of(parsed)
    if parsed.watch:
        await nodes_egress.watch(
            contexts, selection, interval=parsed.interval or _INTERVAL, observed=parsed.observed
        )
    try:
        scans = await scan_all(
            contexts,
            selection,
            read=lambda count: progress.show(f"{count} Nodes read"),
            on_retry=progress.retries(),
        )
    finally:
        progress.erase()
    if all(scan.error is not None for scan in scans):
        raise next(scan.error for scan in scans if scan.error is not None)
    problems: list[str] = []
    for scan in scans:
        problems += map(scan.named, scan.problems)
        if scan.error is not None:
            problems.append(scan.named(f"its nodes are not known: {scan.error}"))
    rows = [row for scan in scans for row in scan.rows]
    if not rows and not problems:
        raise EmptyError("there are no such Nodes")
    if parsed.egress:
        complete = nodes_egress.print_egress(
            nodes_egress.egress_of(scans),
            parsed.output or "text",
            observed=parsed.observed,
            within=parsed.within or (),
            given=given,
            problems=problems,
        )
        return ExitCode.DONE if complete else ExitCode.INCOMPLETE
    rows = differing(rows)
    sys.stdout.write(rendered(rows, parsed.output or "table", problems=problems, now=now().utc))
    sys.stdout.flush()
    for problem in problems:
        progress.message(problem)
    counts = {standing: sum(row.standing is standing for row in rows) for standing in NodeStatus}
    parts = [f"{count} {standing}" for standing, count in counts.items() if count]
    if marked := sum(bool(row.differs) for row in rows):
        parts.append(f"{marked} with * differ from most nodes")
    if unlisted := sum(_egress_state(row) is EgressState.UNLISTED for row in rows):
        parts.append(f"{unlisted} unlisted: seen from addresses that are neither declared nor configured")
    progress.message(f"{counted(len(rows), 'node')}: {', '.join(parts)}")
    return ExitCode.DONE if _complete(rows, problems) else ExitCode.INCOMPLETE


def rendered(rows: Sequence[NodeRow], form: str, *, problems: Sequence[str], now: datetime) -> str:
    """The rows in one of the ``FORMS``."""
    if form in {"json", "yaml"}:
        value = {
            "complete": _complete(rows, problems),
            "problems": list(problems),
            "nodes": [_object(row) for row in rows],
        }
        return as_form(value, form)
    lines: list[list[str]] = []
    if form == "csv":
        for values in map(_object, rows):
            cells: list[str] = []
            for name in _CSV_HEADER:
                given = values[name]
                # The items of a list are separated by spaces; one that is not known is a question mark.
                missing = UNKNOWN if name in _LISTS or name in _PROBED_LISTS else ""
                cells.append(" ".join(map(str, given)) if isinstance(given, list) else str(given or missing))
            lines.append(cells)
        return as_csv(_CSV_HEADER, lines)
    wide, several = form == "wide", any(row.cluster for row in rows)
    probed = any(_egress_state(row) is not None for row in rows)
    most = sys.maxsize if wide else _FEW
    for row in rows:
        data = row.data or Published()
        cells = [
            row.node,
            row.status,
            age(data.observed_at, now=now),
            age(data.changed_at, now=now),
            shortened(data.public_ips, most=most),
        ]
        for aspect, addresses in (("inbound", data.inbound_ips), ("egress", _egress(data))):
            cell = shortened(addresses, most=most)
            cells.append(f"{cell or NONE}*" if aspect in row.differs else cell)
        if probed:
            which = f" ({shortened(row.unlisted, most=most)})" if row.unlisted else ""
            state = _egress_state(row)
            cells.append(f"{state}{which}" if state is EgressState.UNLISTED else state or "")
        if wide:
            rules = UNKNOWN if data.inbound is None else str(len(data.inbound)) if row.data else ""
            cells += [data.egress_basis or "", rules, row.pool, row.agent, ",".join(row.differs), row.detail]
        lines.append([row.cluster, *cells] if several else cells)
    header = (("CLUSTER",) if several else ()) + _HEADER + ((_PROBED_HEADER,) if probed else ())
    return as_table(header + (_WIDE_HEADER if wide else ()), lines)


def _egress_state(row: NodeRow) -> EgressState | None:
    return None if row.data is None else row.data.egress_state


def _egress(data: Published) -> Sequence[object] | None:
    """What a node leaves from: the declared networks, and the addresses outside them."""
    networks = data.egress_networks
    if not networks:
        return None if networks is None else data.egress_ips
    if data.egress_ips is None:
        return networks if data.egress_basis is EgressBasis.DECLARED else None
    return [*networks, *(each for each in data.egress_ips if not is_in(each, networks))]


def _complete(rows: Sequence[NodeRow], problems: Sequence[str]) -> bool:
    return not problems and all(row.current for row in rows)


def _object(row: NodeRow) -> dict[str, object]:
    data = row.data or Published()
    lists = {
        name: None if (addresses := getattr(data, field)) is None else list(map(str, addresses))
        for name, field in (_LISTS | _PROBED_LISTS).items()
    }
    return {
        "cluster": row.cluster or None,
        "node": row.node,
        "pool": row.pool or None,
        "standing": row.standing.value,
        "status": row.status,
        "detail": row.detail or None,
        "agent": row.agent or None,
        "observedAt": _time(data.observed_at),
        "changedAt": _time(data.changed_at),
        "publicIp": None if data.public_ip is None else str(data.public_ip),
        **lists,
        "egressBasis": None if data.egress_basis is None else data.egress_basis.value,
        "egressState": None if data.egress_state is None else data.egress_state.value,
        "inbound": None if data.inbound is None else [each.text for each in data.inbound],
        "revision": data.revision or None,
        "differs": list(row.differs),
        "omitted": list(data.omitted),
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
