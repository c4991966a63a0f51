"""``rules``: the load balancer's inbound rules over all nodes, and the Services they belong to."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sidecar.clock import now
from sidecar.commands.arguments import Parser, add_context_argument, written_as
from sidecar.commands.tables import UNKNOWN, as_csv, as_form, as_table, counted, grouped, shortened
from sidecar.core.cluster import ClusterNode, LoadBalancerService
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
from sidecar.fleet.scan import Selection, add_scope_arguments, allowed, scan, scope_of
from sidecar.kube.fleet import connect_fleet
from sidecar.stopping import run_until_terminated

_DESCRIPTION = """\
Each frontend of inbound rules: its backend port, how many nodes have it, which miss it and since when, and
the Service whose status.loadBalancer.ingress has its address.

Only nodes whose agents stand for their data are counted; the others are named.
"""

_EPILOG = """\
columns:
  NODES    nodes that have the rule, of those that are known
  SERVICE  "not this port": the Service has the address and no such port
  MISSING  nodes without the rule
  SINCE    when the node lost it, or the others got it; >: the node's rules are what they are for so long
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


@dataclass(frozen=True, slots=True)
class _Seen:
    nodes: Sequence[NodeRules]
    services: Sequence[LoadBalancerService] | None
    problems: Sequence[str]


def main(arguments: Sequence[str]) -> int:
    """Print the rules.

    Raises:
        NoneError: there are none.
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
    add_scope_arguments(parser)
    return run_until_terminated(_rules(parser.parse_args(arguments)))


async def _rules(parsed: Namespace) -> int:
    try:
        seen = await _seen(scope_of(parsed), parsed.context)
    finally:
        progress.erase()
    found = frontends(seen.nodes, seen.services, only=parsed.frontend)
    problems = [*seen.problems, *_not_counted(seen.nodes)]
    if any(not each.backend_ports for each in found):
        names = [node.row.node for node in seen.nodes if node.endpoints and not node.complete]
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


async def _seen(scope: Selection, context: str | None) -> _Seen:
    sharing = RuleInterner(scope.layout)
    nodes: dict[str, NodeRules] = {}

    def visit(node: ClusterNode, row: NodeRow) -> None:
        nodes[row.node] = sharing.take(node, row)

    problems: list[str] = []
    async with connect_fleet(kubeconfig=scope.kubeconfig, context=context) as client:
        services = await allowed(
            client.load_balancer_services(),
            lacking="Services could not be listed, so it is not said whose a rule is",
            problems=problems,
        )
        scanned = await scan(
            client, scope, read=lambda count: progress.show(f"{count} Nodes read"), visit=visit
        )
    return _Seen([nodes[row.node] for row in scanned.rows], services, [*scanned.problems, *problems])


def _not_counted(nodes: Sequence[NodeRules]) -> list[str]:
    """The nodes that are not counted, by cause."""
    causes: list[tuple[str, str]] = []
    for node in nodes:
        row = node.row
        if not row.comparable:
            causes.append((row.kind, f"{row.node} ({row.lasting})" if row.lasting else row.node))
        elif node.endpoints is None:
            causes.append((_LEFT_OUT, row.node))
    return [f"not counted: {line}" for line in grouped(causes)]


FORMS = ("table", "wide", "csv", "json", "yaml")

FOOTER = (
    "the metadata service shows what is configured, not the state of health probes: "
    "a node that has a rule may get no traffic"
)

_HEADER = ("FRONTEND", "BACKEND-PORT", "NODES", "SERVICE", "MISSING", "SINCE")
_CSV_HEADER = ("frontend", "backendPorts", "nodesWithRule", "nodes", "services", "missing", "since")
_FEW = 3
_SIGNS = {TimeBasis.REMOVED: "", TimeBasis.ADDED_ELSEWHERE: "", TimeBasis.AT_LEAST: ">"}


def rendered(
    found: Sequence[Frontend], form: str, *, complete: bool, problems: Sequence[str], now: datetime
) -> str:
    """The frontends in one of the ``FORMS``."""
    if form in {"json", "yaml"}:
        value = {
            "complete": complete,
            "note": FOOTER,
            "problems": list(problems),
            "rules": list(map(_object, found)),
        }
        return as_form(value, form)
    if form == "csv":
        return as_csv(_CSV_HEADER, map(_csv, found))
    return as_table(_HEADER, (_cells(each, wide=form == "wide", now=now) for each in found))


def _cells(frontend: Frontend, *, wide: bool, now: datetime) -> tuple[str, ...]:
    most = len(frontend.missing) if wide else _FEW
    return (
        frontend.endpoint.text,
        ",".join(map(str, frontend.backend_ports)) or UNKNOWN,
        f"{frontend.having}/{frontend.of}",
        UNKNOWN if frontend.owners is None else ",".join(map(str, frontend.owners)),
        shortened([each.node for each in frontend.missing], most=most),
        # `12m`; `>3d` where it may be longer.
        ",".join(
            f"{_SIGNS[each.basis]}{age(each.since, now=now) or UNKNOWN}" for each in frontend.missing[:most]
        ),
    )


def _csv(frontend: Frontend) -> tuple[str, ...]:
    """Several of a kind are separated by spaces; what is not known is a question mark."""
    return (
        frontend.endpoint.text,
        " ".join(map(str, frontend.backend_ports)) or UNKNOWN,
        str(frontend.having),
        str(frontend.of),
        UNKNOWN
        if frontend.owners is None
        else " ".join(each.service for each in frontend.owners if each.exact),
        " ".join(each.node for each in frontend.missing),
        " ".join(_time(each) or UNKNOWN for each in frontend.missing),
    )


def _time(missing: Missing) -> str | None:
    return None if missing.since is None else rfc3339(missing.since)


def _object(frontend: Frontend) -> dict[str, object]:
    owners = frontend.owners
    return {
        "frontend": frontend.endpoint.text,
        "protocol": frontend.endpoint.protocol,
        "frontendIpAddress": frontend.endpoint.address,
        "frontendPort": frontend.endpoint.port,
        "backendPorts": list(frontend.backend_ports) or None,
        "nodesWithRule": frontend.having,
        "nodes": frontend.of,
        "services": None
        if owners is None
        else [{"service": each.service, "hasPort": each.exact} for each in owners],
        "missing": [
            {"node": each.node, "since": _time(each), "basis": each.basis.value} for each in frontend.missing
        ],
    }
