"""``nodes --egress``: the list to allow on standard output, what is assumed and not known beside it."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from sidecar.clock import now
from sidecar.commands.tables import as_form, grouped
from sidecar.core.addresses import IPAddress, IPNetwork, sorted_addresses
from sidecar.core.instant import rfc3339
from sidecar.errors import UsageError
from sidecar.fleet import scan as progress
from sidecar.fleet.egress import (
    ASSUMPTION,
    Egress,
    UnknownNode,
    cidr,
    compare,
    outside,
    parse_networks,
    union,
)
from sidecar.fleet.row import NodeRow
from sidecar.fleet.scan import Scan, Selection, scan_all

FORMS = ("text", "json", "yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the list is held against."""

    within: Sequence[IPNetwork] = ()
    """Networks that all addresses are to lie in; empty for any."""
    given: Sequence[IPNetwork] | None = None
    """The list that is allowed now; ``None`` for no comparison."""


def read_networks(path: str) -> tuple[IPNetwork, ...]:
    """The networks of a file; editors of some systems let it begin with a byte order mark.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        return parse_networks(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--diff {path}: {error}") from error


def print_egress(egress: Egress, form: str, *, expected: Expectation, problems: Sequence[str]) -> bool:
    """Print the list, or how it differs from the given one; whether it is complete and as expected."""
    beyond = outside(egress.addresses, expected.within) if expected.within else ()
    difference = None if expected.given is None else compare(egress.addresses, expected.given)
    cidrs = list(map(cidr, egress.addresses))
    missing = [] if difference is None else list(map(cidr, difference.missing))
    needless = [] if difference is None else list(map(str, difference.needless))
    if form == "text":
        lines = (
            cidrs
            if difference is None
            else [f"+{each}" for each in missing] + [f"-{each}" for each in needless]
        )
        print("".join(f"{line}\n" for line in lines), end="")
    else:
        value = {
            "complete": not (egress.gaps or problems),
            "assumed": ASSUMPTION,
            "cidrs": cidrs,
            "outside": list(map(cidr, beyond)),
            "missing": missing,
            "needless": needless,
            "notKnown": list(map(_object, egress.gaps)),
            "problems": list(problems),
        }
        print(as_form(value, form), end="")
    _tell(egress, beyond=list(map(cidr, beyond)), expected=expected, problems=problems)
    return not (egress.gaps or problems or beyond or missing or needless)


def _tell(egress: Egress, *, beyond: Sequence[str], expected: Expectation, problems: Sequence[str]) -> None:
    progress.say(ASSUMPTION)
    for problem in problems:
        progress.say(problem)
    for line in gap_lines(egress.gaps):
        progress.say(line)
    if beyond:
        progress.say(f"outside {', '.join(map(str, expected.within))}: {', '.join(beyond)}")


def gap_lines(gaps: Iterable[UnknownNode]) -> Iterator[str]:
    """The nodes that are not known, by cause."""
    return (f"not known: {line}" for line in grouped((gap.cause, _named(gap)) for gap in gaps))


def _named(gap: UnknownNode) -> str:
    name = f"{gap.cluster}/{gap.node}" if gap.cluster else gap.node
    known = f"listed as of {gap.last_known}" if gap.last_known else ""
    remarks = ", ".join(filter(None, (gap.lasting, known)))
    return f"{name} ({remarks})" if remarks else name


def _object(gap: UnknownNode) -> dict[str, str | None]:
    return {
        "cluster": gap.cluster or None,
        "node": gap.node,
        "cause": gap.cause,
        "lasting": gap.lasting or None,
        "listedAsOf": gap.last_known or None,
    }


async def watch(contexts: Sequence[str | None], scope: Selection, *, interval: float) -> NoReturn:
    """Look again and again until cancelled; each look that differs prints what came and went.

    A cluster that cannot be read keeps the addresses that it had: an outage takes nothing away.

    Args:
        contexts: Of the kubeconfig.
        scope: Which nodes.
        interval: Seconds between two looks.

    Raises:
        Error: of a cluster that cannot be read at the first look.
    """
    progress.say(ASSUMPTION)
    listing = _Listing()
    while True:
        listing.take(await scan_all(contexts, scope, read=lambda _: None))
        await asyncio.sleep(interval)


class _Listing:
    """What has been printed."""

    def __init__(self) -> None:
        self._rows: dict[str, Sequence[NodeRow]] = {}
        self._addresses: frozenset[IPAddress] = frozenset()
        self._told: list[str] | None = None

    def take(self, scans: Sequence[Scan]) -> None:
        """Print what is new.

        Raises:
            Error: a cluster that was never read cannot be read.
        """
        troubles: list[str] = []
        for scan in scans:
            troubles += map(scan.named, scan.problems)
            if scan.error is None:
                self._rows[scan.cluster] = scan.rows
            elif scan.cluster not in self._rows:
                # Probably a mistake; and what is not in the list from the beginning would be missed.
                raise scan.error
            else:
                troubles.append(scan.named(f"could not be read, its addresses stay: {scan.error}"))
        egress = union(row for rows in self._rows.values() for row in rows)
        self._print(frozenset(egress.addresses))
        # Times would be news at each look.
        gaps = (replace(gap, lasting="", last_known="") for gap in egress.gaps)
        self._say([*troubles, *gap_lines(gaps)])

    def _print(self, addresses: frozenset[IPAddress]) -> None:
        for sign, changed in (("-", self._addresses - addresses), ("+", addresses - self._addresses)):
            for address in sorted_addresses(changed):
                print(f"{sign}{cidr(address)}", flush=True)
        self._addresses = addresses

    def _say(self, lines: list[str]) -> None:
        if lines != self._told:
            time = rfc3339(now().utc)
            for line in lines or ["all nodes are known"]:
                progress.say(f"{time} {line}")
            self._told = lines
