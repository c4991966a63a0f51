"""A Node that is written to as a schedule says, in no time: what the tests of writing watch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sidecar.core.annotations import Layout, differing, found
from sidecar.core.changes import Change
from sidecar.core.document import Document
from sidecar.core.state import Found, State
from sidecar.core.writes import Read, Remove, Schedule, Wait, Write, WriteState
from tests.core.examples import FULL, at, inbound, public, utc
from tests.support.fake_node import FakeNode
from tests.support.states import POLICY

LAYOUT = Layout()
SCHEDULE = Schedule(
    layout=LAYOUT,
    policy=POLICY,
    write_splay=30,
    resync_interval=900,
    heartbeat_interval=3600,
    staleness_jitter=0.5,
)
"""The default settings, with annotations that turn stale 450 s after the last answer."""

MANAGER = "azure-lb-metadata"

GROWN = replace(FULL, inbound_rules=(*FULL.inbound_rules, inbound("20.20.20.20", port=80)))
BOTH = replace(FULL, public_ip_addresses=(public("20.1.2.3"), public("20.9.9.9")))
BARE = replace(FULL, public_ip_addresses=())

CHANGE = Change(at=utc(-60), items=("~rules",))


def key(name: str) -> str:
    """The annotation key of a name."""
    return LAYOUT.key(name)


@dataclass(frozen=True)
class Written:
    """One write or removal."""

    seconds: float
    changed: frozenset[str]
    """Names of the annotations that the Node has other than before, without prefix."""


@dataclass
class Writer:
    """Does what a schedule says to a Node; times are in seconds since the start of the test."""

    schedule: Schedule = SCHEDULE
    node: FakeNode = field(default_factory=FakeNode)
    fraction: Callable[[], float] = lambda: 0.5
    write_state: WriteState = field(default_factory=WriteState)
    writes: list[Written] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)

    def turn(self, state: State, seconds: float) -> float:
        """Read and write until there is nothing to do; returns when there is something again."""
        while True:
            now = at(seconds)
            self.write_state, action = self.schedule.next(
                self.write_state, state, now=now, fraction=self.fraction()
            )
            match action:
                case Wait(until):
                    return until - at(0).mono
                case Read():
                    self.reads.append(seconds)
                    self.write_state = self.schedule.was_read(
                        self.write_state, self.node.annotations, now=now, fraction=self.fraction()
                    )
                case Write(values):
                    self._write(values, seconds)
                case Remove(keys):
                    self._remove(keys, seconds)

    def _remove(self, keys: frozenset[str], seconds: float) -> None:
        self.node.remove_all(keys)
        self.writes.append(Written(seconds, frozenset(name.removeprefix(key("")) for name in keys)))
        self.write_state = self.schedule.was_removed(
            self.write_state, keys, self.node.annotations, now=at(seconds).mono
        )

    def _write(self, values: Mapping[str, str], seconds: float) -> None:
        before = dict(self.node.annotations)
        self.node.apply(values, manager=MANAGER)
        changed = {name.removeprefix(key("")) for name in differing(before, self.node.annotations)}
        self.writes.append(Written(seconds, frozenset(changed)))
        self.write_state = self.schedule.was_written(
            self.write_state, values, self.node.annotations, now=at(seconds).mono, fraction=self.fraction()
        )

    def run(self, state: State, start: float, end: float) -> None:
        """Turn at `start` and whenever asked to until `end`, with a state that does not change."""
        seconds = start
        while seconds < end:
            following = self.turn(state, seconds)
            assert following > seconds, "a turn that asks for itself at once would never end"
            seconds = following

    def found(self) -> Found | None:
        """What stands on the Node."""
        return found(self.node.annotations, layout=self.schedule.layout)

    @property
    def times(self) -> list[float]:
        """When there was a write."""
        return [written.seconds for written in self.writes]

    def value(self, name: str) -> str | None:
        """One annotation of the Node."""
        return self.node.annotations.get(key(name))


def ok(document: Document = FULL, *, seconds: float = 0, started: float = 0) -> State:
    """A state with an answer of `seconds` after the start of the test."""
    return State(
        started=at(started), document=document, observed=at(seconds), changed_at=utc(0), changes=(CHANGE,)
    )


def written(document: Document = FULL, **fractions: float) -> Writer:
    """A writer that has read and written at 0."""
    writer = Writer(fraction=lambda: fractions.get("fraction", 0.5))
    writer.turn(ok(document), 0)
    assert writer.times == [0]
    return writer


def answered(writer: Writer, document: Document = FULL, *, start: int, end: int, step: int = 5) -> None:
    """Let the service give the same answer every few seconds."""
    for seconds in range(start, end, step):
        writer.turn(ok(document, seconds=seconds), seconds)


def said(writer: Writer) -> dict[str, str]:
    """What stands on the Node, but for `observed-at`."""
    return {name: value for name, value in writer.node.annotations.items() if name != key("observed-at")}
