"""``nodes --egress``: the list to allow on standard output, assumptions and gaps on standard error."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from sidecar.clock import now
from sidecar.commands.tables import as_form, grouped
from sidecar.core.addresses import IPAddress, IPNetwork, sorted_addresses
from sidecar.core.instant import rfc3339
from sidecar.errors import UsageError
from sidecar.fleet import progress
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
from sidecar.fleet.scan import Selection, scan_all

FORMS = ("text", "json", "yaml")


def read_networks(path: str) -> tuple[IPNetwork, ...]:
    """The networks of a file; editors of some systems let it begin with a byte order mark.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        return parse_networks(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--diff {path}: {error}") from error


def print_egress(
    egress: Egress,
    form: str,
    *,
    within: Sequence[IPNetwork],
    given: Sequence[IPNetwork] | None,
    problems: Sequence[str],
) -> bool:
    """Print the list, or its difference from a given one.

    Args:
        egress: Of all nodes.
        form: One of the ``FORMS``.
        within: Networks that all addresses are to lie in; empty for any.
        given: The networks that are allowed now; ``None`` for no comparison.
        problems: What could not be read.

    Returns:
        Whether the list is complete and as expected.
    """
    beyond = list(map(cidr, outside(egress.addresses, within))) if within else []
    cidrs = list(map(cidr, egress.addresses))
    missing: list[str] = []
    needless: list[str] = []
    if given is not None:
        difference = compare(egress.addresses, given)
        missing, needless = list(map(cidr, difference.missing)), list(map(str, difference.needless))
    if form == "text":
        lines = [*(f"+{each}" for each in missing), *(f"-{each}" for each in needless)]
        for line in cidrs if given is None else lines:
            print(line)
    else:
        value = {
            "complete": not (egress.gaps or problems),
            "assumed": ASSUMPTION,
            "cidrs": cidrs,
            "outside": beyond,
            "missing": missing,
            "needless": needless,
            "notKnown": [
                {
                    "cluster": gap.cluster or None,
                    "node": gap.node,
                    "cause": gap.cause,
                    "lasting": gap.lasting or None,
                    "listedAsOf": gap.last_known or None,
                }
                for gap in egress.gaps
            ],
            "problems": list(problems),
        }
        print(as_form(value, form), end="")
    for line in (ASSUMPTION, *problems, *_gap_lines(egress.gaps)):
        progress.message(line)
    if beyond:
        progress.message(f"outside {', '.join(map(str, within))}: {', '.join(beyond)}")
    return not (egress.gaps or problems or beyond or missing or needless)


def _gap_lines(gaps: Iterable[UnknownNode]) -> list[str]:
    """The nodes that are not known, a line for each cause."""
    named: list[tuple[str, str]] = []
    for gap in gaps:
        name = f"{gap.cluster}/{gap.node}" if gap.cluster else gap.node
        known = f"listed as of {gap.last_known}" if gap.last_known else ""
        remarks = ", ".join(filter(None, (gap.lasting, known)))
        named.append((gap.cause, f"{name} ({remarks})" if remarks else name))
    return [f"not known: {line}" for line in grouped(named)]


async def watch(contexts: Sequence[str | None], selection: Selection, *, interval: float) -> NoReturn:
    """Scan again and again until cancelled, and print the addresses that each scan adds or removes.

    A cluster that cannot be read keeps the addresses that it had: an outage removes nothing.

    Args:
        contexts: Of the kubeconfig.
        selection: Which nodes.
        interval: Seconds between two scans.

    Raises:
        Error: of a cluster that cannot be read at the first scan.
    """
    progress.message(ASSUMPTION)
    on_retry = progress.retries()  # once for all scans: an outage is a line, and not one a minute
    rows: dict[str, Sequence[NodeRow]] = {}
    listed: frozenset[IPAddress] = frozenset()
    reported: list[str] | None = None
    while True:
        problems: list[str] = []
        for scan in await scan_all(contexts, selection, read=lambda _: None, on_retry=on_retry):
            problems += map(scan.named, scan.problems)
            if scan.error is None:
                rows[scan.cluster] = scan.rows
            elif scan.cluster not in rows:
                # Probably a mistake; and a list that lacks a cluster from the beginning would go unnoticed.
                raise scan.error
            else:
                problems.append(scan.named(f"could not be read, its addresses stay: {scan.error}"))
        egress = union(row for part in rows.values() for row in part)
        addresses = frozenset(egress.addresses)
        for sign, changed in (("-", listed - addresses), ("+", addresses - listed)):
            for address in sorted_addresses(changed):
                print(f"{sign}{cidr(address)}", flush=True)
        listed = addresses
        # Without times, which would make each scan differ from the one before.
        gaps = (replace(gap, lasting="", last_known="") for gap in egress.gaps)
        lines = [*problems, *_gap_lines(gaps)]
        if lines != reported:
            time = rfc3339(now().utc)
            for line in lines or ["all nodes are known"]:
                progress.message(f"{time} {line}")
            reported = lines
        await asyncio.sleep(interval)
