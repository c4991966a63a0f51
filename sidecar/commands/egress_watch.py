"""``nodes --egress --watch``: what comes to the list to allow, and what goes from it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from sidecar.clock import now
from sidecar.commands import progress
from sidecar.commands.clusters import Scope, Survey, survey_all
from sidecar.commands.egress import gap_lines
from sidecar.core.addresses import IPAddress, sorted_addresses
from sidecar.core.fleet.egress import ASSUMPTION, cidr, union
from sidecar.core.fleet.row import Row
from sidecar.core.instant import rfc3339

__all__ = ["watch"]


async def watch(contexts: Sequence[str | None], scope: Scope, *, interval: float) -> NoReturn:
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
        listing.take(await survey_all(contexts, scope, read=lambda _: None))
        await asyncio.sleep(interval)


class _Listing:
    """What has been printed."""

    def __init__(self) -> None:
        self._rows: dict[str, Sequence[Row]] = {}
        self._addresses: frozenset[IPAddress] = frozenset()
        self._told: list[str] | None = None

    def take(self, surveys: Sequence[Survey]) -> None:
        """Print what is new.

        Raises:
            Error: a cluster that was never read cannot be read.
        """
        troubles: list[str] = []
        for survey in surveys:
            troubles += map(survey.named, survey.problems)
            if survey.error is None:
                self._rows[survey.cluster] = survey.rows
            elif survey.cluster not in self._rows:
                # Probably a mistake; and what is not in the list from the beginning would be missed.
                raise survey.error
            else:
                troubles.append(survey.named(f"could not be read, its addresses stay: {survey.error}"))
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
