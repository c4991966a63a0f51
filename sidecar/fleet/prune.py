"""``prune``: remove the agents' annotations from Nodes."""

import asyncio
import json
import os
import sys
from argparse import ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sidecar.commands.arguments import (
    Parser,
    add_api_server_arguments,
    add_context_argument,
    add_prefix_argument,
    duration,
    node_name,
    whole_number,
    written_as,
)
from sidecar.commands.tables import counted
from sidecar.errors import ExitCode, UsageError
from sidecar.fleet import progress
from sidecar.fleet.pruner import (
    Outcome,
    Pruner,
    PruneSelection,
    Result,
    Target,
    prune_all,
    targets,
    waited_for_deletion,
)
from sidecar.kube.listing import DaemonSetName, connect_fleet
from sidecar.output import OutputError
from sidecar.stopping import run_until_terminated

_FAILURES = {Result.FAILED, Result.NOT_TRIED}

_DESCRIPTION = """\
Remove all annotations under the prefix from all Nodes, or from those named.

Nodes to which agents of a DaemonSet still write under the prefix are left alone, since those would write
again: delete it first, or give --ignore-daemonsets. The command may be interrupted and repeated at any
time. Only the metadata of Nodes are read, 500 at a time, and only Nodes that have such keys are written,
each by its UID. Requests that fail for a reason that may pass are sent up to 5 times.
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


def main(arguments: Sequence[str]) -> int:
    """Remove the agents' annotations.

    Raises:
        UsageError: arguments or kubeconfig are wrong.
        KubernetesError: the Nodes could not be listed, or the DaemonSet not be read.
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
    add_api_server_arguments(parser)
    add_context_argument(parser)
    parser.add_argument(
        "--concurrency", type=whole_number(1, 64), default=8, metavar="N", help="Nodes at a time, 1 to 64 [8]"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="[text]")
    parser.add_argument(
        "--wait-for-daemonset",
        type=written_as(DaemonSetName.parse),
        metavar="NAMESPACE/NAME",
        help="first wait until this DaemonSet is gone; do nothing if it is not being deleted",
    )
    parser.add_argument(
        "--pod-selector",
        type=_selector,
        metavar="SELECTOR",
        help="labels of its pods, such as app.kubernetes.io/instance=RELEASE",
    )
    parser.add_argument("--timeout", type=duration, metavar="DURATION", help="how long to wait [5m]")
    return parser


def _selector(text: str) -> str:
    # Empty, it would select every pod of the namespace.
    if not text.strip() or len(text) > _LABEL_SELECTOR_LIMIT:
        raise ArgumentTypeError("a label selector such as key=value is needed")
    return text


async def _prune(parsed: Namespace) -> int:
    selection = PruneSelection(parsed.annotation_prefix, parsed.owned_only)
    report = PruneOutput(selection=selection, dry_run=parsed.dry_run, as_json=parsed.output == "json")
    daemon_set, gone = parsed.wait_for_daemonset, True
    async with connect_fleet(
        kubeconfig=parsed.kubeconfig,
        context=parsed.context,
        timeout=parsed.request_timeout,
        on_retry=progress.retries(),
    ) as client:
        try:
            if daemon_set is not None:
                timeout = 300.0 if parsed.timeout is None else parsed.timeout
                gone = await waited_for_deletion(
                    client, daemon_set, pod_selector=parsed.pod_selector, timeout=timeout
                )
            if gone:
                if not parsed.ignore_daemonsets:
                    selection = replace(selection, daemon_sets=await client.all_agent_daemon_sets())
                nodes: Sequence[Target | str] = list(dict.fromkeys(parsed.nodes))
                if not nodes:
                    nodes = await targets(client, selection, read=report.on_read)
                report.total = len(nodes)
                pruner = Pruner(client, selection, parsed.dry_run)
                await prune_all(nodes, pruner=pruner, concurrency=parsed.concurrency, done=report.on_outcome)
            else:
                report.skipped = f"DaemonSet {daemon_set} exists and is not being deleted: nothing is removed"
        except asyncio.CancelledError:
            report.end(interrupted=True)
            raise
        finally:
            progress.erase()
    report.end(interrupted=False)
    if report.lost is not None:
        raise report.lost
    return ExitCode.FAILED if report.failed else ExitCode.DONE


@dataclass(slots=True)
class PruneOutput:
    """Prints outcomes as they come: results on standard output, all else on standard error."""

    selection: PruneSelection
    dry_run: bool
    as_json: bool
    total: int = 0
    """Nodes to prune."""
    read: int = 0
    """Nodes that were read to find those."""
    skipped: str = ""
    """Why nothing was done."""
    counts: Counter[Result] = field(default_factory=Counter)
    outcomes: list[Outcome] = field(default_factory=list)
    """For the JSON form."""
    lost: OutputError | None = None
    """Why standard output takes no more lines."""

    @property
    def failed(self) -> bool:
        """Whether any Node failed or was not tried."""
        return any(self.counts[result] for result in _FAILURES)

    def on_read(self, count: int) -> None:
        """Show how many Nodes have been read."""
        self.read = count
        progress.show(f"{count} Nodes read")

    def on_outcome(self, outcome: Outcome) -> None:
        """Print the outcome of one Node."""
        self.counts[outcome.result] += 1
        # A person who watches the progress needs no line for each Node that is done.
        watched = not self.dry_run and sys.stdout.isatty() and sys.stderr.isatty()
        if self.as_json:
            self.outcomes.append(outcome)
        elif outcome.result not in _FAILURES and not watched:
            names = [key.rpartition("/")[2] for key in outcome.keys]
            keys = f"{counted(len(names), 'key')}: {', '.join(names)}"
            match outcome.result:
                case Result.REMOVED:
                    what = f"removed {keys}"
                case Result.WOULD_REMOVE:
                    what = f"would remove {keys}"
                case Result.CLEAN:
                    what = "has no keys to remove"
                case Result.IN_USE:
                    what = f"left, agents of DaemonSet {outcome.error} write under this prefix there"
                case _:
                    what = outcome.result.value
            progress.erase()
            try:
                _print(f"{outcome.node}: {what}")
            except OutputError as error:
                if self.dry_run:
                    raise
                # Half of the Nodes pruned is worse than a list that ends early: said when all are done.
                self.lost = error
        if outcome.result is Result.FAILED:
            progress.message(f"{outcome.node}: {outcome.error}")
        failed = self.counts[Result.FAILED]
        progress.show(
            f"{self.counts.total()} of {self.total} Nodes" + (f", {failed} failed" if failed else "")
        )

    def end(self, *, interrupted: bool) -> None:
        """Print the JSON form and the summary."""
        if self.as_json:
            nodes = [
                {
                    "node": outcome.node,
                    "result": outcome.result,
                    "keys": outcome.keys,
                    "error": outcome.error or None,
                }
                for outcome in sorted(self.outcomes, key=lambda outcome: outcome.node)
            ]
            value = {
                "annotationPrefix": self.selection.prefix,
                "ownedOnly": self.selection.owned_only,
                "dryRun": self.dry_run,
                "skipped": self.skipped or None,
                "complete": not (interrupted or self.failed),
                "nodes": nodes,
            }
            progress.erase()
            _print(json.dumps(value, indent=2))
        if self.skipped:
            summary = self.skipped
        elif not self.total:
            summary = f"{self.read} Nodes read, none has keys to remove under {self.selection.prefix}"
        else:
            counts = [f"{count} {result.replace('-', ' ')}" for result, count in sorted(self.counts.items())]
            summary = f"of {self.total} Nodes: {', '.join(counts) or 'none done'}"
        progress.message(summary)
        if interrupted:
            progress.message("interrupted; what is done is done, repeat the command for the rest")


def _print(text: str) -> None:
    """Print a line on standard output at once; the work goes on after its reader has left."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
