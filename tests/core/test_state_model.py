"""Random runs of the state beside a model that knows the withdrawal rule in another form."""

from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sidecar.core.document import LISTS, Document
from sidecar.core.outcome import NONE, Failure, Reason, Status, Success
from sidecar.core.state import Found, Policy, State, observe, restore, turns_stale_at
from tests.core.examples import answer, at, failures, few_documents, utc

STALE_AFTER, ABSENT_AFTER = 300, 300
POLICY = Policy(stale_after=STALE_AFTER, absent_after=ABSENT_AFTER)


@dataclass
class Model:
    """All answers so far with their times; what is published follows from them alone.

    The code folds outcomes into counters. This looks back over the whole log instead: a list has its last
    value that had entries, unless the answers after that are three or more and span absent-after; and of
    those values none counts that only leaves entries out, unless the answer before said the same.
    """

    found: Document | None = None
    answers: list[tuple[float, Document]] = field(default_factory=list)

    @property
    def published(self) -> bool:
        """Whether there is a document: found, with entries, or "none" for the third time."""
        return bool(self.found) or len(self.answers) >= 3 or any(not said.empty for _, said in self.answers)

    def entries(self, name: str) -> tuple[Any, ...]:
        """What is published of one list."""
        said = [(seconds, getattr(document, name)) for seconds, document in self.answers]
        value: tuple[Any, ...] = getattr(self.found, name, ())
        for index, (_, entries) in enumerate(said):
            before = said[index - 1][1] if index else None
            if entries and not (set(entries) < set(value) and before != entries):
                value = entries
            elif not entries and _withdrawn(said[: index + 1]):
                value = ()
        return value


def _withdrawn(said: list[tuple[float, tuple[Any, ...]]]) -> bool:
    """Whether the last answers, three or more over absent-after, all lacked the list."""
    since = [seconds for seconds, entries in takewhile(lambda each: not each[1], reversed(said))]
    return len(since) >= 3 and since[0] - since[-1] >= ABSENT_AFTER


class Observing(RuleBasedStateMachine):
    """Answers, failures and pauses in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.state = State(started=at(0))
        self.model = Model()
        self.last_failure: Failure | None = None

    @initialize(found=st.none() | few_documents)
    def start(self, found: Document | None) -> None:
        """Start, perhaps after an earlier run."""
        self.model.found = found
        if found is not None:
            known = Found(revision=found.revision, changed_at=utc(-60), document=found, observed_at=utc(-60))
            self.state = restore(self.state, known, at(0), POLICY)

    @rule(document=few_documents)
    def answer(self, document: Document) -> None:
        """The service answers with a document."""
        self._answer(answer(document))

    @rule()
    def none(self) -> None:
        """The service says that there is none."""
        self._answer(NONE)

    @rule()
    def same_again(self) -> None:
        """The service says what is published already."""
        if self.state.document is not None:
            self._answer(answer(self.state.document))

    @rule(failure=failures)
    def fail(self, failure: Failure) -> None:
        """The attempt fails; nothing but the failure is remembered."""
        before = self.state
        self.state = observe(before, failure, at(self.seconds), POLICY)
        self.last_failure = failure
        assert self.state.failures == before.failures + 1
        assert (self.state.document, self.state.changes) == (before.document, before.changes)
        assert (self.state.observed, self.state.changed_at) == (before.observed, before.changed_at)

    @rule(pause=st.sampled_from([1, 10, 100, 149, 150, 299, 300, 1000]))
    def pause(self, pause: int) -> None:
        """Time passes."""
        self.seconds += pause

    def _answer(self, outcome: Success) -> None:
        before = self.state
        self.state = observe(before, outcome, at(self.seconds), POLICY)
        self.model.answers.append((self.seconds, outcome.document))
        self.last_failure = None
        if before.document is not None:
            assert (self.state.changes != before.changes) == (self.state.document != before.document)

    @invariant()
    def published_is_what_the_rule_allows(self) -> None:
        """There is a document exactly when the log says so, and each list is what the log says."""
        assert (self.state.document is not None) == self.model.published
        for name in LISTS:
            assert getattr(self.state.document, name, ()) == self.model.entries(name)

    @invariant()
    def status_follows_from_the_log(self) -> None:
        """Status depends on the published lists and on the time since the last answer."""
        status = self.state.status(at(self.seconds), POLICY)
        assert status is self._expected_status()
        if status in (Status.OK, Status.STALE):
            failure = self.last_failure.reason if self.last_failure else Reason.UNREACHABLE
            assert self.state.reason(status) is (failure if status is Status.STALE else None)
        due = turns_stale_at(self.state, POLICY)
        assert (due is None) == (not self.model.published or not self.model.answers)

    def _expected_status(self) -> Status:
        if not self.model.published:
            return Status.STARTING
        if not self.model.answers or self.seconds - self.model.answers[-1][0] >= STALE_AFTER:
            return Status.STALE
        return Status.OK if any(self.model.entries(name) for name in LISTS) else Status.NO_METADATA

    @invariant()
    def history_is_a_chain_that_ends_in_the_document(self) -> None:
        """Each change begins where the one before ended, and the last ends in what is published."""
        changes = self.state.changes
        assert len(changes) <= 50
        for before, after in pairwise(changes):
            assert before.after == after.before
            assert before.at <= after.at
        if changes:
            assert self.state.document is not None
            assert changes[-1].after == self.state.document.revision
            assert changes[-1].at == self.state.changed_at


TestObserving = Observing.TestCase
