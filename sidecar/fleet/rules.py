"""``rules``: the load balancer's inbound rules over all nodes, and the Services they belong to."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import datetime

from sidecar.clock import now
from sidecar.commands.arguments import Parser, add_context_argument, written_as
from sidecar.commands.tables import UNKNOWN, as_csv, as_form, as_table, counted, grouped, shortened
from sidecar.core.cluster import ClusterNode
from sidecar.core.instant import age, rfc3339
from sidecar.errors import EmptyError, ExitCode
from sidecar.fleet import progress
from sidecar.fleet.frontends import (
    Frontend,
    FrontendFilter,
    Missing,
    NodeRules,
    RuleInterner,
    TimeBasis,
    frontends,
)
from sidecar.fleet.row import NodeRow
from sidecar.fleet.scan import add_selection_arguments, allowed, scan, selection_of
from sidecar.kube.listing import connect_fleet
from sidecar.stopping import run_until_terminated

FORMS = ("table", "wide", "csv", "json", "yaml")

FOOTER = (
    "the metadata service shows what is configured, not the state of health probes: "
    "a node that has a rule may get no traffic"
)

_HEADER = ("FRONTEND", "BACKEND-PORT", "NODES", "SERVICE", "MISSING", "SINCE")
_CSV_HEADER = ("frontend", "backendPorts", "nodesWithRule", "nodes", "services", "missing", "since")
_FEW = 3
"""Missing nodes that a cell of the table names; the others are counted."""
_SIGNS = {TimeBasis.REMOVED: "", TimeBasis.ADDED_ELSEWHERE: "", TimeBasis.AT_LEAST: ">"}

_DESCRIPTION = """\
Each frontend of inbound rules: its backend port, how many nodes have it, which miss it and since when, and
the Service whose status.loadBalancer.ingress has its address.

Only nodes whose data a running agent confirms are counted; the others are named.
"""

_EPILOG = """\
columns:
  NODES    nodes that have the rule, of those that are known
  SERVICE  "not this port": the Service has the address and no such port
  MISSING  nodes without the rule
  SINCE    when the node lost it, or the others got it; >: the node's rules have not changed for so long
  ?        not known: see standard error

rights, in the cluster:
  nodes       list
  services    list
  pods        list  (with --agent-namespace in that namespace only)
  daemonsets  list  (the same; only to say why a node has no agent)

exit codes:
  0  done; a rule that nodes miss is no failure
  1  failed
  2  wrong usage
  3  there is no such rule
  4  the API server could not be reached
  5  a node, the Services or backend ports are not known
"""


_LEFT_OUT = (
    "the rules were left out for the annotation budget; raise annotations.budget "
    "(--annotation-budget), or ask the node's agent (azure-lb-metadata get inbound-rules)"
)
_NO_DOCUMENT = (
    "backend ports are not annotated (annotations.content is summary, or the document was left out for the "
    "budget): set annotations.content=full and raise annotations.budget, or ask the node's agent "
    "(azure-lb-metadata get inbound-rules)"
)


def main(arguments: Sequence[str]) -> int:
    """Print the inbound rules of all nodes.

    Raises:
        EmptyError: there are none.
        UsageError: arguments or kubeconfig are wrong.
        KubernetesError: the Nodes could not be read.
    """
    parser = Parser("rules", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "--frontend", type=written_as(FrontendFilter.parse), metavar="IP[:PORT]", help="only this one"
    )
    parser.add_argument("--incomplete", action="store_true", help="only rules that a node misses")
    parser.add_argument("-o", "--output", choices=FORMS, default="table", help="[table]")
    add_context_argument(parser)
    add_selection_arguments(parser)
    return run_until_terminated(_rules(parser.parse_args(arguments)))


async def _rules(parsed: Namespace) -> int:
    selection = selection_of(parsed)
    interner = RuleInterner(selection.layout)
    by_node: dict[str, NodeRules] = {}

    def visit(node: ClusterNode, row: NodeRow) -> None:
        by_node[row.node] = interner.take(node, row)

    unlisted: list[str] = []
    try:
        async with connect_fleet(
            kubeconfig=selection.kubeconfig,
            context=parsed.context,
            timeout=selection.request_timeout,
            on_retry=progress.retries(),
        ) as client:
            services = await allowed(
                client.load_balancer_services(),
                lacking="Services could not be listed, so it is not said whose a rule is",
                problems=unlisted,
            )
            scanned = await scan(
                client, selection, read=lambda count: progress.show(f"{count} Nodes read"), visit=visit
            )
    finally:
        progress.erase()
    nodes = [by_node[row.node] for row in scanned.rows]
    found = frontends(nodes, services, only=parsed.frontend)
    not_counted: list[tuple[str, str]] = []
    for node in nodes:
        row = node.row
        if not row.comparable:
            not_counted.append((row.kind, f"{row.node} ({row.lasting})" if row.lasting else row.node))
        elif node.endpoints is None:
            not_counted.append((_LEFT_OUT, row.node))
    problems = [*scanned.problems, *unlisted, *(f"not counted: {line}" for line in grouped(not_counted))]
    if any(not each.backend_ports for each in found):
        names = [node.row.node for node in nodes if node.endpoints and not node.complete]
        problems.append(f"{_NO_DOCUMENT}: {', '.join(names)}")
    shown = [each for each in found if each.missing or not parsed.incomplete]
    output = rendered(shown, parsed.output, complete=not problems, problems=problems, now=now().utc)
    sys.stdout.write(output)
    sys.stdout.flush()
    for problem in problems:
        progress.message(problem)
    missed = sum(bool(each.missing) for each in found)
    progress.message(f"{counted(len(found), 'rule')}, {missed} not on all nodes; {FOOTER}")
    if problems:
        return ExitCode.INCOMPLETE
    if not found:
        raise EmptyError("no node has such a rule" if parsed.frontend else "no node has an inbound rule")
    return ExitCode.DONE


def rendered(
    found: Sequence[Frontend], form: str, *, complete: bool, problems: Sequence[str], now: datetime
) -> str:
    """The frontends in one of the ``FORMS``."""
    if form in {"json", "yaml"}:
        rules = [
            {
                "frontend": each.endpoint.text,
                "protocol": each.endpoint.protocol,
                "frontendIpAddress": each.endpoint.address,
                "frontendPort": each.endpoint.port,
                "backendPorts": list(each.backend_ports) or None,
                "nodesWithRule": each.having,
                "nodes": each.of,
                "services": None
                if each.owners is None
                else [{"service": owner.service, "hasPort": owner.exact} for owner in each.owners],
                "missing": [
                    {"node": missing.node, "since": _time(missing), "basis": missing.basis.value}
                    for missing in each.missing
                ],
            }
            for each in found
        ]
        value = {"complete": complete, "note": FOOTER, "problems": list(problems), "rules": rules}
        return as_form(value, form)
    lines: list[tuple[str, ...]] = []
    if form == "csv":
        for each in found:
            # Items of a cell are separated by spaces.
            owners = None if each.owners is None else [owner.service for owner in each.owners if owner.exact]
            lines.append(
                (
                    each.endpoint.text,
                    " ".join(map(str, each.backend_ports)) or UNKNOWN,
                    str(each.having),
                    str(each.of),
                    UNKNOWN if owners is None else " ".join(owners),
                    " ".join(missing.node for missing in each.missing),
                    " ".join(_time(missing) or UNKNOWN for missing in each.missing),
                )
            )
        return as_csv(_CSV_HEADER, lines)
    for each in found:
        most = len(each.missing) if form == "wide" else _FEW
        # `12m`; `>3d` where it may be longer.
        times = [
            f"{_SIGNS[missing.basis]}{age(missing.since, now=now) or UNKNOWN}"
            for missing in each.missing[:most]
        ]
        lines.append(
            (
                each.endpoint.text,
                ",".join(map(str, each.backend_ports)) or UNKNOWN,
                f"{each.having}/{each.of}",
                UNKNOWN if each.owners is None else ",".join(map(str, each.owners)),
                shortened([missing.node for missing in each.missing], most=most),
                ",".join(times),
            )
        )
    return as_table(_HEADER, lines)


def _time(missing: Missing) -> str | None:
    return None if missing.since is None else rfc3339(missing.since)
