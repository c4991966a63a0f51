"""``nodes``: what the nodes of a cluster, or of several, know of their load balancer."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from ipaddress import ip_network

from sidecar.clock import now
from sidecar.commands import egress, nodes_output, progress
from sidecar.commands.arguments import Parser, duration, written_as
from sidecar.commands.clusters import Survey, add_scope_arguments, contexts_of, scope_of, survey_all
from sidecar.commands.egress_watch import watch
from sidecar.commands.tables import counted
from sidecar.core.fleet.egress import union
from sidecar.core.fleet.row import Row, Standing, differing
from sidecar.errors import ExitCode, NoneError, UsageError
from sidecar.stopping import run_until_terminated

__all__ = ["main"]

_INTERVAL = 60.0
"""Seconds between two looks of ``--watch``."""

_DESCRIPTION = """\
The cluster's nodes: what their agents annotated, and whether that can be believed now.

A node without a ready agent, or whose kubelet has stopped, is never "ok", whatever its annotations say.
With --egress: the addresses that all nodes leave from, one CIDR a line, as others are to allow them.
"""

_EPILOG = """\
columns:
  STATUS   ok; stale, starting, no-metadata: the agent's word, with its reason; unknown: what the node has
           now cannot be known, and why; no agent: with the taint or label, and the chart's value to change
           (instead of all, nodes may be a list of tolerations)
  AGE      since the data were last known to be true; while nothing changes, written about once an hour
  CHANGED  since the addresses or rules last changed
  PUBLIC, INBOUND, EGRESS
           instance IPs; frontends of inbound rules; what the node leaves from. * differs from most nodes,
           ? left out for the annotation budget

rights, in the cluster:
  nodes       list
  pods        list  (with --agent-namespace in that namespace only)
  daemonsets  list  (the same; only to say why a node has no agent)

exit codes:
  0  all nodes are known
  1  failed
  2  wrong usage
  3  there are no such nodes
  4  no API server could be reached
  5  a node or a cluster is not known; with --egress also: differs from what was given
"""


def main(arguments: Sequence[str]) -> int:
    """Print the table, or the list.

    Raises:
        UsageError: arguments or kubeconfig are wrong.
        NoneError: there are no such Nodes.
        KubernetesError: the Nodes of no cluster could be read.
    """
    parsed = _parser().parse_args(arguments)
    _check(parsed)
    return run_until_terminated(_nodes(parsed))


def _parser() -> Parser:
    parser = Parser("nodes", description=_DESCRIPTION, epilog=_EPILOG)
    forms = (*nodes_output.FORMS, "text")
    parser.add_argument(
        "-o", "--output", choices=forms, help="[table]; with --egress text, json or yaml [text]"
    )
    contexts = parser.add_mutually_exclusive_group()
    contexts.add_argument(
        "--context", action="append", metavar="NAME", help="context of the kubeconfig; may be repeated"
    )
    contexts.add_argument("--all-contexts", action="store_true", help="all contexts of the kubeconfig")
    add_scope_arguments(parser)
    listing = parser.add_argument_group("the list to allow")
    listing.add_argument("--egress", action="store_true", help="print what all nodes leave from")
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
        help="print only how it differs from this list: + is not allowed there, - allows nothing",
    )
    listing.add_argument("--watch", action="store_true", help="go on: + came, - went")
    listing.add_argument(
        "--interval", type=duration, metavar="DURATION", help="with --watch: between two looks [1m]"
    )
    return parser


def _check(parsed: Namespace) -> None:
    given = [name for name in ("within", "diff", "watch", "interval") if getattr(parsed, name)]
    if given and not parsed.egress:
        raise UsageError(f"--{given[0]} is for --egress")
    if parsed.interval and not parsed.watch:
        raise UsageError("--interval is for --watch")
    if parsed.watch and (parsed.within or parsed.diff or parsed.output not in {None, "text"}):
        raise UsageError("--watch goes neither with --within nor --diff, and prints text only")
    forms = egress.FORMS if parsed.egress else nodes_output.FORMS
    if parsed.output is not None and parsed.output not in forms:
        mode = "with" if parsed.egress else "without"
        raise UsageError(f"-o {parsed.output}: {mode} --egress it is one of {', '.join(forms)}")


async def _nodes(parsed: Namespace) -> int:
    # Before anything is asked: it may be wrong.
    given = egress.read_networks(parsed.diff) if parsed.diff else None
    scope = scope_of(parsed)
    contexts = await contexts_of(parsed)
    if parsed.watch:
        await watch(contexts, scope, interval=parsed.interval or _INTERVAL)
    try:
        surveys = await survey_all(contexts, scope, read=lambda count: progress.show(f"{count} Nodes read"))
    finally:
        progress.erase()
    problems = _problems(surveys)
    rows = [row for survey in surveys for row in survey.rows]
    if not rows and not problems:
        raise NoneError("there are no such Nodes")
    if parsed.egress:
        expected = egress.Expectation(within=parsed.within or (), given=given)
        form = parsed.output or "text"
        complete = egress.print_egress(union(rows), form, expected=expected, problems=problems)
    else:
        complete = _print_rows(differing(rows), parsed.output or "table", problems=problems)
    return ExitCode.DONE if complete else ExitCode.INCOMPLETE


def _print_rows(rows: Sequence[Row], form: str, *, problems: Sequence[str]) -> bool:
    """Print all forms of the table; whether all nodes are known."""
    sys.stdout.write(nodes_output.rendered(rows, form, problems=problems, now=now().utc))
    sys.stdout.flush()
    _tell(rows, problems)
    return not problems and all(row.current for row in rows)


def _problems(surveys: Sequence[Survey]) -> list[str]:
    """What could not be read, by cluster.

    Raises:
        Error: of the first cluster, when none could be read.
    """
    if all(survey.error is not None for survey in surveys):
        raise next(survey.error for survey in surveys if survey.error is not None)
    problems: list[str] = []
    for survey in surveys:
        problems += map(survey.named, survey.problems)
        if survey.error is not None:
            problems.append(survey.named(f"its nodes are not known: {survey.error}"))
    return problems


def _tell(rows: Sequence[Row], problems: Sequence[str]) -> None:
    for problem in problems:
        progress.say(problem)
    counts = {standing: sum(row.standing is standing for row in rows) for standing in Standing}
    parts = [f"{count} {standing}" for standing, count in counts.items() if count]
    if marked := sum(bool(row.differs) for row in rows):
        parts.append(f"{marked} with * differ from most nodes")
    progress.say(f"{counted(len(rows), 'node')}: {', '.join(parts)}")
