"""``prune``: remove the agents' annotations from Nodes."""

import asyncio
import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import replace

from sidecar.commands import progress
from sidecar.commands.arguments import (
    Parser,
    add_context_argument,
    add_kubeconfig_argument,
    add_prefix_argument,
    duration,
    node_name,
    whole_number,
)
from sidecar.commands.departure import departed
from sidecar.commands.prune_report import Report
from sidecar.commands.pruning import Pruner, Scope, Target, each, targets
from sidecar.core.names import is_node_name
from sidecar.errors import ExitCode, UsageError
from sidecar.kube.operator import DaemonSet, OperatorClient, connect_operator
from sidecar.stopping import run_until_terminated

__all__ = ["main"]

_DESCRIPTION = """\
Remove all annotations under the prefix from all Nodes, or from those named.

Nodes to which agents of a DaemonSet still write under the prefix are left alone, since those would write
again: end them first, or give --ignore-daemonsets. It may be interrupted and repeated at any time. Nodes
are read by their metadata alone, 500 at a time, and only those that have such keys are written, each by
its UID. What fails for a reason that may pass is tried 5 times.
"""

_EPILOG = """\
after an uninstallation (--wait-for-daemonset):
  While the DaemonSet exists and is not being deleted, nothing is done: tools that render a post-delete
  hook as a plain object may run it at any time. While it is being deleted, or while pods with the labels
  of --pod-selector have not ended, it waits; pods that a Job controls do not count.

rights:
  nodes       get, list, patch  in the cluster (list not with NODE)
  daemonsets  list              in the cluster (not with --ignore-daemonsets)
              get               in NAMESPACE, with --wait-for-daemonset
  pods        list              in NAMESPACE, with --wait-for-daemonset

exit codes:
  0    done, or nothing to do; a Node that is deleted meanwhile is done
  1    a Node failed or was not found, or the DaemonSet or its pods did not go in time
  2    wrong usage
  4    the API server could not be reached
  130  interrupted (143: terminated)
"""

_LABEL_SELECTOR_LIMIT = 4096
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def main(arguments: Sequence[str]) -> int:
    """Remove annotations.

    Raises:
        UsageError: arguments or kubeconfig are wrong.
        KubernetesError: the Nodes could not be listed, or the DaemonSet not be looked at.
        Error: the DaemonSet or its pods are still there.
    """
    parsed = _parser().parse_args(arguments)
    if (parsed.wait_for_daemonset is None) != (parsed.pod_selector is None):
        raise UsageError("--wait-for-daemonset and --pod-selector go together")
    if parsed.timeout is not None and parsed.wait_for_daemonset is None:
        raise UsageError("--timeout is for --wait-for-daemonset")
    return run_until_terminated(_prune(parsed))


def _parser() -> Parser:
    parser = Parser("prune", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("nodes", nargs="*", type=node_name, metavar="NODE", help="only these Nodes")
    add_prefix_argument(parser, purpose="whose keys to remove")
    parser.add_argument(
        "--owned-only", action="store_true", help="only keys that the agents' field manager alone owns"
    )
    parser.add_argument(
        "--ignore-daemonsets",
        action="store_true",
        help="also Nodes to which agents of a DaemonSet write under the prefix",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be removed, write nothing")
    add_kubeconfig_argument(parser)
    add_context_argument(parser)
    parser.add_argument(
        "--concurrency", type=whole_number(1, 64), default=8, metavar="N", help="Nodes at a time, 1 to 64 [8]"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="[text]")
    _add_waiting(parser)
    return parser


def _add_waiting(parser: Parser) -> None:
    parser.add_argument(
        "--wait-for-daemonset",
        type=_daemon_set,
        metavar="NAMESPACE/NAME",
        help="first wait until this DaemonSet is gone; do nothing if it is not being deleted",
    )
    parser.add_argument(
        "--pod-selector",
        type=_selector,
        metavar="SELECTOR",
        help="labels of its pods, such as app.kubernetes.io/instance=RELEASE",
    )
    parser.add_argument("--timeout", type=duration, metavar="DURATION", help="how long to wait so [5m]")


def _daemon_set(text: str) -> DaemonSet:
    namespace, _, name = text.partition("/")
    if _NAMESPACE.fullmatch(namespace) is None or not is_node_name(name):
        raise ArgumentTypeError(f"{text!r} is not NAMESPACE/NAME")
    return DaemonSet(namespace, name)


def _selector(text: str) -> str:
    # Empty, it would select every pod of the namespace.
    if not text.strip() or len(text) > _LABEL_SELECTOR_LIMIT:
        raise ArgumentTypeError("a label selector such as key=value is needed")
    return text


async def _prune(parsed: Namespace) -> int:
    scope = Scope(parsed.annotation_prefix, parsed.owned_only)
    report = Report(scope=scope, dry_run=parsed.dry_run, as_json=parsed.output == "json")
    async with connect_operator(kubeconfig=parsed.kubeconfig, context=parsed.context) as client:
        try:
            await _work(parsed, client, scope=scope, report=report)
        except asyncio.CancelledError:
            report.end(interrupted=True)
            raise
        finally:
            progress.erase()
    report.end(interrupted=False)
    return ExitCode.FAILED if report.failed else ExitCode.DONE


async def _work(parsed: Namespace, client: OperatorClient, *, scope: Scope, report: Report) -> None:
    if parsed.wait_for_daemonset is not None:
        which = parsed.wait_for_daemonset
        timeout = 300.0 if parsed.timeout is None else parsed.timeout
        if not await departed(client, which, pod_selector=parsed.pod_selector, timeout=timeout):
            report.on_skip(f"DaemonSet {which} exists and is not being deleted: nothing is removed")
            return
    if not parsed.ignore_daemonsets:
        scope = replace(scope, daemon_sets=await client.agent_daemon_sets())
    nodes: Sequence[Target | str] = list(dict.fromkeys(parsed.nodes))
    if not nodes:
        nodes = await targets(client, scope, read=report.on_read)
    report.total = len(nodes)
    pruner = Pruner(client, scope, parsed.dry_run)
    await each(nodes, pruner=pruner, concurrency=parsed.concurrency, done=report.on_outcome)
