"""The marks from which the catalogue of faults, docs/faults.md, is made.

A test that shows what the agent promises under a fault carries ``@fault``; further tests of the same
fault carry ``@also_shows``. `tests.faults` collects both.
"""

from dataclasses import dataclass, replace
from enum import Enum

import pytest


class Origin(Enum):
    """What goes wrong, in the order and words of the catalogue."""

    SERVICE = "The metadata service"
    API_SERVER = "The API server and the Node"
    NODE = "The machine and its files"
    CLOCK = "The clock"
    CLIENTS = "The clients"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What the agent does under a fault: one or two sentences of Markdown each."""

    served: str
    annotated: str
    logged: str
    """What is logged and counted."""
    recovery: str
    """How soon all is well again once the fault is gone."""

    def but(self, **sentences: str) -> "Promise":
        """The same promise with other sentences."""
        return replace(self, **sentences)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a ``fault`` mark carries."""

    words: str
    """The fault itself, which also is its name."""
    cases: tuple[str, ...] = ()
    """Ids of the parameters that show it; all of them when empty."""
    origin: Origin | None = None
    promise: Promise | None = None
    """Origin and promise are given once for each fault, and ``None`` where further tests show it."""


def fault(
    origin: Origin, words: str, promise: Promise, *, cases: tuple[str, ...] = ()
) -> pytest.MarkDecorator:
    """This test, or these cases of it, show that a promise is kept under a fault."""
    return pytest.mark.fault(Fault(words=words, cases=cases, origin=origin, promise=promise))


def also_shows(words: str, *, cases: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """This test, too, shows a promise that another test's ``fault`` words."""
    return pytest.mark.fault(Fault(words=words, cases=cases))


def outage(reason: str) -> Promise:
    """What holds whenever the metadata service gives no usable answer, for whatever `reason`."""
    return Promise(
        served="The last good data, ageing; `stale` from stale-after on. Readiness stays.",
        annotated=f"Nothing is removed; `status: stale`, `reason: {reason}` after one to two stale-after.",
        logged=(
            "`poll-failed` once for each new reason, `status-changed` when stale, then `poll-still-failing`"
            " at rising intervals;"
            f' `attempts_total{{outcome="{reason}"}}`.'
        ),
        recovery=(
            "With the first answer: `ok` at once, on the Node within the splay, or within twice stale-after"
            " if nothing but the status changed and the last such write is not older than that."
        ),
    )


def api_failure(code: str) -> Promise:
    """What holds whenever a request to the API server comes to nothing."""
    return Promise(
        served="Everything, always the newest; polls go on at their interval.",
        annotated="What stands there stays until a write succeeds; then the newest state, in full.",
        logged=(
            "`publish-failed` with advice, at the 1st, 2nd, 4th, 8th … failure; then `publish-recovered`;"
            f' `kubernetes_requests_total{{code="{code}"}}`, `publishes_total{{result="failed"}}`.'
        ),
        recovery="Retried for ever, at random within the splay, twice that, … at most ten times the splay.",
    )


CLIENTS_ONLY = Promise(
    served="Everybody else is served.",
    annotated="Not affected.",
    logged="Nothing.",
    recovery="At once when the client is gone.",
)
"""What clients do to the HTTP API concerns nothing else."""

FILE_FAILS = Promise(
    served="Everything; but an agent is ready only once its file has been written.",
    annotated="Not affected.",
    logged=(
        "`publish-failed` with the file, the system's words and the setting;"
        ' `publishes_total{result="failed"}`.'
    ),
    recovery="Retried for ever; the old file stays whole until then, and nothing is left beside it.",
)
"""What holds whenever ``--file`` cannot be written."""

WITHDRAWN = Promise(
    served=(
        "All of it until at least 3 answers in a row, over absent-after, have said so;"
        " `no-metadata` when nothing is left."
    ),
    annotated="The same; then the keys of what is gone are removed within the splay.",
    logged="`lists-missing` once, with the time until they go, and `document-changed` when they do.",
    recovery="Data that come back before that were never away; after it they count at once.",
)
"""What holds when the metadata service says that there are no data, or no more of a kind."""
