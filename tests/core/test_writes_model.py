"""Random hours of a Node, its service and the people around it, and what must hold in all of them."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.core.annotations import KEYS, differing, own
from sidecar.core.document import Document
from sidecar.core.outcome import NONE, Failure, Outcome
from sidecar.core.state import State, observe, restore
from tests.core.examples import FULL, answer, at, failure, failures, few_documents, public
from tests.core.writing import LAYOUT, SCHEDULE, Writer, key
from tests.support.fake_node import FakeNode
from tests.support.faults import Origin, Promise, fault
from tests.support.states import POLICY

STATUS = {"status", "reason"}
SPLAY, STALE_AFTER, RESYNC, HEARTBEAT = 30, 300, 900, 3600
POLL = 60
OTHERS = [replace(FULL, public_ip_addresses=(public(f"20.1.2.{last}"),)) for last in (3, 4, 5)]


class Writing(RuleBasedStateMachine):
    """Outcomes, pauses, restarts and meddling in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.node = FakeNode()
        self.meddled = False
        self.outcome: Outcome = NONE
        self.fraction: Callable[[], float] = lambda: 0.5
        self.writer = Writer(node=self.node)
        self.state = State(started=at(0))
        self.next_at = 0.0

    @initialize(random=st.randoms(use_true_random=False))
    def start(self, random: Random) -> None:
        """The first process."""
        self.fraction = random.random
        self._start()

    def _start(self) -> None:
        self.state = State(started=at(self.seconds))
        self.writer = Writer(node=self.node, fraction=self.fraction)
        self._turn()
        found = self.writer.found()
        if found is not None:
            self.state = restore(self.state, found, at(self.seconds), POLICY)
            self._turn()

    def _turn(self) -> None:
        self.next_at = self.writer.turn(self.state, self.seconds)

    def _see(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.state = observe(self.state, outcome, at(self.seconds), POLICY)
        self._turn()

    @rule(document=few_documents)
    def answer(self, document: Document) -> None:
        """The service answers with a document."""
        self._see(answer(document))

    @rule()
    def none(self) -> None:
        """The service says that there is none."""
        self._see(NONE)

    @rule(failure=failures)
    def fail(self, failure: Failure) -> None:
        """The attempt fails."""
        self._see(failure)

    @rule(pause=st.sampled_from([1, 10, 29, 30, 100, 299, 300, 601, 900, 5000]))
    def pause(self, pause: int) -> None:
        """Time passes; the publisher has its turn whenever it asked for one."""
        end = self.seconds + pause
        while self.next_at <= end:
            # A hair late, as timers are: the sum of two times may round down.
            self.seconds = max(self.seconds, self.next_at) + 1e-6
            self._turn()
        self.seconds = max(self.seconds, end)

    @rule()
    def restart(self) -> None:
        """The process starts again."""
        self._start()

    @rule(name=st.sampled_from(KEYS), value=st.sampled_from(["", "forged", "20.1.2.3"]) | st.none())
    def meddle(self, name: str, value: str | None) -> None:
        """Somebody sets or removes one of our annotations."""
        self.meddled = True
        if value is None:
            self.node.remove(key(name))
        else:
            self.node.annotate(key(name), value)

    @rule()
    def reset(self) -> None:
        """Somebody resets the managed fields: nobody owns anything of what stands there."""
        self.node.owners = {name: {"before-first-apply"} for name in self.node.annotations}

    @invariant()
    def writes_are_a_splay_apart(self) -> None:
        """One process never writes twice within the splay."""
        assert all(later - sooner >= SPLAY - 1e-6 for sooner, later in pairwise(self.writer.times))

    @invariant()
    @precondition(lambda self: not self.meddled)
    def every_write_changes_something(self) -> None:
        """No write is a no-op; one of `observed-at` alone has waited; one of the status alone is rare."""
        status_only = []
        for sooner, later in zip([None, *self.writer.writes], self.writer.writes, strict=False):
            assert later.changed
            if later.changed == {"observed-at"} and sooner is not None:
                assert later.seconds - sooner.seconds >= HEARTBEAT * 0.8
            if later.changed & STATUS and later.changed <= STATUS | {"observed-at"}:
                status_only.append(later.seconds)
        assert all(later - sooner >= 2 * STALE_AFTER - 1e-6 for sooner, later in pairwise(status_only))

    @invariant()
    def nothing_of_others_is_written(self) -> None:
        """The Node has no annotation but those of the contract."""
        assert self.node.annotations.keys() <= {key(name) for name in KEYS}

    def teardown(self) -> None:
        """When nothing changes any more, the Node says what it should, and is then left alone."""
        in_sync = self.seconds + 1.2 * RESYNC + 6 * STALE_AFTER + 2 * SPLAY + 6 * POLL
        while self.seconds < in_sync:
            self._poll()
        writes = len(self.writer.writes)
        for _ in range(30):
            self._poll()
            ours = own(self.node.annotations, layout=LAYOUT)
            wanted = SCHEDULE.desired(self.state, ours, at(self.seconds))
            assert wanted is None or differing(wanted, ours) <= {key("observed-at")}
        assert all(written.changed == {"observed-at"} for written in self.writer.writes[writes:])

    def _poll(self) -> None:
        self.pause(POLL)
        self._see(self.outcome)


TestWriting = Writing.TestCase


def test_quiet_day_costs_little() -> None:
    """A day of the same answers is one write, its heartbeats, and a reading every resync interval."""
    writer, chance = Writer(), iter([0.1, 0.9, 0.4, 0.6] * 100_000)
    writer.fraction = lambda: next(chance)
    state = State(started=at(0))
    for seconds in range(0, 86_400, 10):
        state = observe(state, answer(FULL), at(seconds), POLICY)
        writer.turn(state, seconds)
    assert all(written.changed == {"observed-at"} for written in writer.writes[1:])
    assert 86_400 / (1.2 * HEARTBEAT) - 1 <= len(writer.writes) - 1 <= 86_400 / (0.8 * HEARTBEAT)
    assert len(writer.reads) <= 86_400 / (0.8 * RESYNC) + 1
    # What a write answers is a reading too.
    known_at = sorted([*writer.reads, *writer.times, 86_400])
    assert max(later - sooner for sooner, later in pairwise(known_at)) <= 1.2 * RESYNC + 10


@fault(
    Origin.SERVICE,
    "It fails and recovers all day",
    Promise(
        served="The last good data, `stale` whenever they are.",
        annotated="At most one write of the status alone per two stale-after.",
        logged="Each change of reason and status.",
        recovery="As after any outage.",
    ),
)
def test_flapping_service_is_a_few_writes_an_hour() -> None:
    """A service that fails and recovers all day changes the status at most six times an hour."""
    writer, state = Writer(), State(started=at(0))
    for seconds in range(0, 43_200, 10):
        state = observe(state, answer(FULL) if seconds % 700 < 100 else failure(), at(seconds), POLICY)
        writer.turn(state, seconds)
    assert 12 < len(writer.writes) <= 12 * 6 + 1


def test_document_that_changes_all_the_time_is_written_once_per_splay() -> None:
    """However often the document changes, an hour has at most one write per splay."""
    writer, state = Writer(), State(started=at(0))
    for seconds in range(0, 3600, 10):
        moved = OTHERS[seconds // 10 % 3]
        state = observe(state, answer(moved), at(seconds), POLICY)
        writer.turn(state, seconds)
    assert 60 < len(writer.writes) <= 3600 / SPLAY + 1
