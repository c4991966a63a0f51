"""What ``prune`` tells: a line for each Node, progress on a terminal, and a summary; or JSON at the end."""

import json
import os
import sys
from collections import Counter
from dataclasses import dataclass, field

from sidecar.commands import progress
from sidecar.commands.pruning import Outcome, Result, Scope
from sidecar.commands.tables import counted

__all__ = ["Report"]

_FAILURES = {Result.FAILED, Result.NOT_TRIED}


@dataclass(slots=True)
class Report:
    """Takes outcomes as they come. Results go to standard output, all else to standard error."""

    scope: Scope
    dry_run: bool
    as_json: bool
    total: int = 0
    """Nodes to prune."""
    read: int = 0
    """Nodes that were looked at."""
    skipped: str = ""
    """Why nothing was to be done."""
    counts: Counter[Result] = field(default_factory=Counter)
    outcomes: list[Outcome] = field(default_factory=list)
    """For the JSON form."""

    @property
    def failed(self) -> bool:
        """Whether any Node was not done."""
        return any(self.counts[result] for result in _FAILURES)

    def on_read(self, count: int) -> None:
        """So many Nodes have been read."""
        self.read = count
        progress.show(f"{count} Nodes read")

    def on_outcome(self, outcome: Outcome) -> None:
        """One Node is done."""
        self.counts[outcome.result] += 1
        if self.as_json:
            self.outcomes.append(outcome)
        elif outcome.result not in _FAILURES and self._names_nodes:
            progress.erase()
            _print(_line(outcome))
        if outcome.result is Result.FAILED:
            progress.say(f"{outcome.node}: {outcome.error}")
        failed = self.counts[Result.FAILED]
        progress.show(
            f"{self.counts.total()} of {self.total} Nodes" + (f", {failed} failed" if failed else "")
        )

    def on_skip(self, why: str) -> None:
        """There is nothing to be done."""
        self.skipped = why

    def end(self, *, interrupted: bool) -> None:
        """Say the rest."""
        if self.as_json:
            progress.erase()
            _print(json.dumps(self._object(interrupted=interrupted), indent=2))
        progress.say(self.skipped or self._summary())
        if interrupted:
            progress.say("interrupted; what is done is done, repeat the command for the rest")

    def _summary(self) -> str:
        if not self.total:
            return f"{self.read} Nodes read, none has keys to remove under {self.scope.prefix}"
        counts = [f"{count} {result.replace('-', ' ')}" for result, count in sorted(self.counts.items())]
        return f"of {self.total} Nodes: {', '.join(counts) or 'none done'}"

    def _object(self, *, interrupted: bool) -> dict[str, object]:
        return {
            "annotationPrefix": self.scope.prefix,
            "ownedOnly": self.scope.owned_only,
            "dryRun": self.dry_run,
            "skipped": self.skipped or None,
            "complete": not (interrupted or self.failed),
            "nodes": [
                {
                    "node": outcome.node,
                    "result": outcome.result,
                    "keys": outcome.keys,
                    "error": outcome.error or None,
                }
                for outcome in sorted(self.outcomes, key=lambda outcome: outcome.node)
            ],
        }

    @property
    def _names_nodes(self) -> bool:
        """Whether each Node gets a line; a person who sees the progress needs none of what is done."""
        return self.dry_run or not (sys.stdout.isatty() and sys.stderr.isatty())


def _line(outcome: Outcome) -> str:
    match outcome.result:
        case Result.REMOVED:
            return f"{outcome.node}: removed {_keys(outcome)}"
        case Result.WOULD_REMOVE:
            return f"{outcome.node}: would remove {_keys(outcome)}"
        case Result.CLEAN:
            return f"{outcome.node}: has no keys to remove"
        case Result.IN_USE:
            return f"{outcome.node}: left, agents of DaemonSet {outcome.error} write under this prefix there"
        case _:
            return f"{outcome.node}: {outcome.result}"


def _keys(outcome: Outcome) -> str:
    names = [key.rpartition("/")[2] for key in outcome.keys]
    return f"{counted(len(names), 'key')}: {', '.join(names)}"


def _print(text: str) -> None:
    """A line on standard output at once; when nobody reads it any more, the work goes on."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
