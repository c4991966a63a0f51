"""Snapshots as a poller would have made them, for tests of what reads them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sidecar.core.document import Document
from sidecar.core.instant import Instant
from sidecar.core.outcome import NONE, Failure, Outcome, Reason, Success
from sidecar.core.parsing import parse_response
from sidecar.core.state import Found, Policy, Snapshot, State, observe, restore

EPOCH = Instant(mono=1000.0, utc=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
"""When the agent of a test started."""

POLICY = Policy(stale_after=300.0, absent_after=300.0)


@dataclass
class FakeClock:
    """A clock that stands still until it is moved; call it to read it."""

    now: Instant = field(default=EPOCH)

    def __call__(self) -> Instant:
        """Read it."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move both of its hands."""
        self.now = later(seconds, than=self.now)


def later(seconds: float, *, than: Instant = EPOCH) -> Instant:
    """The moment so many seconds after another."""
    return Instant(mono=than.mono + seconds, utc=than.utc + timedelta(seconds=seconds))


def pair(frontend: str, private: str = "10.240.0.4") -> dict[str, str]:
    """An entry of ``publicIpAddresses`` or ``outboundRules`` as the metadata service writes it."""
    return {"frontendIpAddress": frontend, "privateIpAddress": private}


def inbound(
    frontend: str,
    frontend_port: int,
    backend_port: int,
    *,
    private: str = "10.240.0.4",
    protocol: str = "Tcp",
) -> dict[str, Any]:
    """An entry of ``inboundRules`` as the metadata service writes it."""
    return {
        "frontendIpAddress": frontend,
        "protocol": protocol,
        "frontendPort": frontend_port,
        "backendPort": backend_port,
        "privateIpAddress": private,
    }


def body(
    *,
    public: Sequence[dict[str, str]] = (),
    inbound_rules: Sequence[dict[str, Any]] = (),
    outbound: Sequence[dict[str, str]] = (),
) -> bytes:
    """The body of a 200 answer of the metadata service."""
    lists = {
        "publicIpAddresses": list(public),
        "inboundRules": list(inbound_rules),
        "outboundRules": list(outbound),
    }
    return json.dumps({"loadbalancer": lists}, separators=(",", ":")).encode()


EMPTY_BODY = body()
"""A 200 that lists nothing."""


def answer(response: bytes) -> Success:
    """The outcome of a 200 answer."""
    parsed = parse_response(response)
    return Success(document=parsed.document, body=response, dropped=parsed.dropped)


def unreachable() -> Failure:
    """The outcome of a refused connection."""
    return Failure(reason=Reason.UNREACHABLE, detail="connection refused")


def snapshot_after(*outcomes: Outcome, interval: float = 10.0, state: State | None = None) -> Snapshot:
    """The snapshot after some attempts, the first one at :data:`EPOCH`, judged at the last one."""
    state = state or State(started=EPOCH)
    now = EPOCH
    for index, outcome in enumerate(outcomes):
        now = later(index * interval)
        state = observe(state, outcome, now, POLICY)
    return Snapshot.of(state, now, POLICY)


def restored(document: Document, *, age: float) -> State:
    """The state of an agent that took up what an earlier run published ``age`` seconds ago."""
    observed = EPOCH.utc - timedelta(seconds=age)
    found = Found(revision=document.revision, changed_at=observed, document=document, observed_at=observed)
    return restore(State(started=EPOCH), found, EPOCH, POLICY)


def none_accepted() -> Snapshot:
    """The snapshot of a node of which the metadata service keeps saying that it has nothing."""
    return snapshot_after(NONE, NONE, NONE)


def snapshot_of(state: State) -> Snapshot:
    """The snapshot of a state at :data:`EPOCH`."""
    return Snapshot.of(state, EPOCH, POLICY)
