"""When an agent tells of its Node in an Event, and what it says."""

import itertools
import re
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from sidecar.core.document import Document
from sidecar.core.egress import Observation
from sidecar.core.events import EventPolicy, EventReason, EventState, EventToSend, Pause
from sidecar.core.instant import Instant
from sidecar.core.outcome import Outcome, Reason
from sidecar.core.probes import Flow, parse_probe
from sidecar.core.state import Found, Policy, State, observe, restore
from tests.core.examples import ELSEWHERE, FULL, MOVED, answer, at, failure, inbound, outbound, utc

POLICY = Policy(stale_after=300, absent_after=0)
EVENTS = EventPolicy(splay=30, fault_after=900)
PROBE = parse_probe("stun:stun.example.org")
NOTHING_INBOUND = replace(FULL, inbound_rules=())


@dataclass
class Telling:
    """An agent that sends every Event when it is due, in time that a test lets pass."""

    seconds: float = 0.0
    fraction: float = 0.5
    state: State = field(default_factory=lambda: State(started=at(0)))
    event_state: EventState = field(default_factory=EventState)
    sent: list[tuple[float, EventReason, str, int]] = field(default_factory=list)
    """When, why, what, and the count of the series."""

    @property
    def now(self) -> Instant:
        """The moment."""
        return at(self.seconds)

    def see(self, outcome: Outcome, *, times: int = 1) -> None:
        """The source was asked, so many times now."""
        for _ in range(times):
            self.state = observe(self.state, outcome, self.now, POLICY)

    def look(self) -> EventToSend | Pause:
        """What is to be done now."""
        self.event_state, action = EVENTS.decide(
            self.event_state, self.state, now=self.now, fraction=self.fraction
        )
        return action

    def until(self, seconds: float) -> None:
        """Let time pass, and send what is due when it is due."""
        while True:
            action = self.look()
            if isinstance(action, EventToSend):
                self.sent.append((self.seconds, action.reason, action.note, action.count))
                name = f"event-{len(self.sent)}"
                self.event_state = EVENTS.was_sent(
                    self.event_state, action, name=action.name or name, now=self.now
                )
            elif action.until is None or action.until > at(seconds).mono:
                break
            else:
                self.seconds = action.until - at(0).mono
        self.seconds = seconds

    @property
    def reasons(self) -> list[EventReason]:
        """Why, in order."""
        return [reason for _, reason, _, _ in self.sent]


@pytest.fixture
def telling() -> Telling:
    """An agent whose first answer was `FULL`."""
    telling = Telling()
    telling.see(answer(FULL))
    telling.until(100)
    return telling


def test_first_document_is_no_event(telling: Telling) -> None:
    """What there is at the start is not news, and nothing is to be done until something changes."""
    telling.until(100_000)
    assert telling.sent == []
    assert telling.look() == Pause(None)


def test_changed_outbound_ips(telling: Telling) -> None:
    """Other outbound IPs are told of within the splay, with what they were and are."""
    telling.see(answer(MOVED))
    telling.until(1000)
    note = "outbound IPs changed from 52.1.1.1 to 52.2.2.2"
    assert telling.sent == [(115, EventReason.OUTBOUND_IPS_CHANGED, note, 1)]


def test_only_the_splay_is_being_behind(telling: Telling) -> None:
    """An Event that waits for the splay is late; one that is kept apart from the last of its kind is not."""
    telling.see(answer(MOVED))
    telling.look()
    assert telling.event_state.behind
    telling.until(200)
    assert not telling.event_state.behind
    telling.see(answer(FULL))
    telling.look()
    assert not telling.event_state.behind, "within 10 minutes of the last one"
    telling.until(1000)
    assert len(telling.sent) == 2


def test_lasting_fault_is_not_being_behind(telling: Telling) -> None:
    """A fault that was told of, and is told of again every half hour, leaves nothing undone."""
    telling.see(failure(Reason.UNAVAILABLE))
    telling.until(1100)
    for seconds in range(1100, 20_000, 100):
        telling.until(seconds)
        assert telling.reasons[-1] is EventReason.UNAVAILABLE
        waits = [at for at in telling.event_state.due.values() if at > telling.now.mono]
        assert telling.event_state.behind <= bool(waits), "but for the splay"
    assert len(telling.sent) > 5


def test_changed_public_ips(telling: Telling) -> None:
    """Other public IPs are told of; a changed rule is not."""
    telling.see(answer(replace(ELSEWHERE, inbound_rules=(inbound("20.20.20.20", port=80),))))
    telling.until(1000)
    note = "public IPs changed from 20.1.2.3 to 20.9.9.9"
    assert telling.sent == [(115, EventReason.PUBLIC_IPS_CHANGED, note, 1)]


def test_gained_public_ip() -> None:
    """A node that gets its first public IP tells of it."""
    telling = Telling()
    telling.see(answer(replace(FULL, public_ip_addresses=())))
    telling.until(10)
    telling.see(answer(FULL))
    telling.until(1000)
    assert [note for _, _, note, _ in telling.sent] == ["public IPs changed from none to 20.1.2.3"]


def test_both_changes_are_two_events(telling: Telling) -> None:
    """Each reason has an Event of its own."""
    telling.see(answer(replace(MOVED, public_ip_addresses=ELSEWHERE.public_ip_addresses)))
    telling.until(1000)
    assert telling.reasons == [EventReason.PUBLIC_IPS_CHANGED, EventReason.OUTBOUND_IPS_CHANGED]


def test_change_that_is_undone_in_time_is_not_told(telling: Telling) -> None:
    """What came and went before the Event was due never happened."""
    telling.see(answer(MOVED))
    telling.until(110)
    telling.see(answer(FULL))
    telling.until(1000)
    assert telling.sent == []


def test_flapping_address(telling: Telling) -> None:
    """Changes back and forth are at most one Event in 10 minutes, of the difference that is left."""
    for seconds in range(100, 4000, 20):
        telling.until(seconds)
        telling.see(answer(MOVED if seconds % 40 else FULL))
    times = [seconds for seconds, *_ in telling.sent]
    assert all(later - earlier >= 600 for earlier, later in itertools.pairwise(times))
    assert 1 < len(times) <= 7


def test_changes_meanwhile_are_one_event(telling: Telling) -> None:
    """What changed several times within 10 minutes is told of once, from what was told to what is."""
    telling.see(answer(MOVED))
    telling.until(200)
    telling.see(answer(replace(FULL, outbound_rules=(outbound("52.3.3.3"),))))
    telling.until(300)
    telling.see(answer(replace(FULL, outbound_rules=(outbound("52.4.4.4"),))))
    telling.until(5000)
    assert [(seconds, note) for seconds, _, note, _ in telling.sent] == [
        (115, "outbound IPs changed from 52.1.1.1 to 52.2.2.2"),
        (715, "outbound IPs changed from 52.2.2.2 to 52.4.4.4"),
    ]


def test_withdrawn_lists(telling: Telling) -> None:
    """Lists that became empty are one warning that names what was in them, and are no change besides."""
    for seconds in (110, 120, 130):
        telling.until(seconds)
        telling.see(answer(Document.of(outbound_rules=FULL.outbound_rules)))
    telling.until(1000)
    ((_, reason, note, _),) = telling.sent
    assert reason is EventReason.WITHDRAWN
    assert note == (
        "the metadata service no longer has public IPs 20.1.2.3; inbound rules tcp/20.20.20.20:443"
    )


def test_list_that_is_held_back_is_no_event(telling: Telling) -> None:
    """A list that is missing but not withdrawn yet is not told of."""
    telling.see(answer(NOTHING_INBOUND))
    telling.until(5000)
    assert telling.sent == []


def test_list_that_comes_back(telling: Telling) -> None:
    """Inbound rules that come back are no Event, and their next withdrawal is one."""
    for base in (110, 2000):
        for seconds in (base, base + 10, base + 20):
            telling.until(seconds)
            telling.see(answer(NOTHING_INBOUND))
        telling.until(base + 500)
        telling.see(answer(FULL))
        telling.until(base + 1000)
    assert telling.reasons == [EventReason.WITHDRAWN] * 2


def test_fault_that_lasts(telling: Telling) -> None:
    """A fault is told of when it is older than the threshold, and then every half hour as one series."""
    for seconds in range(100, 5400, 60):
        telling.until(seconds)
        telling.see(failure(Reason.THROTTLED))
    assert [(seconds, count) for seconds, _, _, count in telling.sent] == [(915, 1), (2715, 2), (4515, 3)]
    assert {*telling.reasons} == {EventReason.UNAVAILABLE}
    assert telling.sent[0][2] == ("no answer of the metadata service for 15m15s: throttled (as scripted)")


def test_fault_that_ends_in_time(telling: Telling) -> None:
    """A fault that is shorter than the threshold is no Event."""
    telling.see(failure())
    telling.until(890)
    telling.see(answer(FULL))
    telling.until(10_000)
    assert telling.sent == []


def test_next_fault_is_a_new_event(telling: Telling) -> None:
    """After an answer a new fault is told of anew, and not before 10 minutes after the last Event."""
    fault_after = EVENTS.fault_after
    telling.see(failure())
    telling.until(1000)
    telling.see(answer(FULL))
    telling.see(failure())
    telling.until(1000 + fault_after + 20)
    assert [count for *_, count in telling.sent] == [1, 1]


def test_fault_from_the_start() -> None:
    """An agent that never had an answer tells of it as well."""
    telling = Telling()
    telling.see(failure())
    telling.until(1000)
    assert telling.reasons == [EventReason.UNAVAILABLE]


@pytest.mark.parametrize("answers_first", [True, False])
def test_change_while_the_agent_was_away(answers_first: bool) -> None:  # noqa: FBT001 - a case
    """What changed since an earlier run is told of, whether its data or the first answer come first."""
    found = Found(revision=FULL.revision, changed_at=utc(-99), document=FULL, observed_at=utc(-60))
    telling = Telling()
    if answers_first:
        telling.see(answer(MOVED))
        telling.until(5)
    telling.state = restore(telling.state, found, telling.now, POLICY)
    telling.until(5)
    telling.see(answer(MOVED))
    telling.until(1000)
    assert telling.reasons == [EventReason.OUTBOUND_IPS_CHANGED]


def test_page_names_every_reason() -> None:
    """docs/events.md has every reason, and no other."""
    page = Path(__file__).parents[2].joinpath("docs", "events.md").read_text()
    assert {*re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)} == {*EventReason}


def test_notes_are_short(telling: Telling) -> None:
    """A note of very many addresses names some of them and how many more there are, in 1024 bytes."""
    many = [outbound(f"52.3.{number // 250}.{number % 250}") for number in range(1000)]
    telling.see(answer(replace(FULL, outbound_rules=tuple(many))))
    telling.until(1000)
    ((_, _, note, _),) = telling.sent
    assert len(note) < 1024
    shown = note.count(", ") + 1
    assert note.endswith(f" and {1000 - shown} more")


class TestEgress:
    """What probes observed compares otherwise with what is published."""

    @staticmethod
    def telling(*found: str) -> Telling:
        """An agent with a probe and an answer, which found what an earlier run had observed."""
        telling = Telling()
        telling.state = replace(telling.state, observation=Observation((PROBE,)))
        if found:
            earlier = Found(
                revision=FULL.revision,
                changed_at=utc(-99),
                document=FULL,
                observed_at=utc(-60),
                egress_observed=tuple(map(ip_address, found)),
            )
            telling.state = restore(telling.state, earlier, telling.now, POLICY)
        telling.see(answer(FULL))
        return telling

    @staticmethod
    def round(telling: Telling, *seen: str) -> None:
        """A round of the probe, which sees these addresses or nothing."""
        flows = [Flow(probe=PROBE, family=4, address=ip_address(address)) for address in seen]
        known = telling.state.observation.after_round(flows, now=telling.now, keep=86_400.0)
        telling.state = replace(telling.state, observation=known)
        telling.until(telling.seconds + 700)

    def test_first_state_is_no_change(self) -> None:
        """An agent that agrees from the start has nothing to tell, nor one that nobody answers."""
        for seen in (["20.1.2.3"], []):
            telling = self.telling()
            self.round(telling, *seen)
            assert telling.reasons == []

    def test_unlisted(self) -> None:
        """An address that is not listed is a warning, with what is observed and what is published."""
        telling = self.telling()
        self.round(telling, "20.1.2.3")
        self.round(telling, "20.7.7.7")
        assert telling.reasons == [EventReason.EGRESS_STATE_CHANGED]
        assert [note for _, _, note, _ in telling.sent] == [
            "egress probes: unlisted (was agrees); observed 20.1.2.3, 20.7.7.7; published 20.1.2.3"
        ]

    def test_unlisted_from_the_start(self) -> None:
        """An address that no earlier run knew is told of after the first round, one that was known is not."""
        telling, knowing = self.telling(), self.telling("20.7.7.7")
        for one in (telling, knowing):
            self.round(one, "20.7.7.7")
        assert (telling.reasons, knowing.reasons) == ([EventReason.EGRESS_STATE_CHANGED], [])
