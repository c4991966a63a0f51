"""The poller in virtual time: when it asks, what becomes of the state, and what it says about it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from sidecar.core.changes import KINDS, Change
from sidecar.core.document import EMPTY
from sidecar.core.outcome import NONE, Answer, Failure, Outcome, Reason, Status
from sidecar.core.parsing import DroppedEntry
from sidecar.core.state import Found, Policy, Snapshot, Source, State
from sidecar.latest import Latest
from sidecar.metrics import Metrics
from sidecar.poller import Poller
from sidecar.runtime import Runtime
from tests.core.examples import FULL, answer, document, inbound, outbound, public
from tests.support.fakes import Hang, ScriptedSource, virtual_now
from tests.support.faults import Origin, Promise, also_shows, fault, outage
from tests.support.states import EPOCH

pytestmark = pytest.mark.looptime(start=1000)

POLICY = Policy(stale_after=300.0, absent_after=300.0)
OK = answer(FULL)
EMPTY_LISTS = answer(EMPTY)

UNAVAILABLE = Failure(Reason.UNAVAILABLE, detail="HTTP 503: busy", status=503)
THROTTLED = Failure(Reason.THROTTLED, detail="HTTP 429: slow down", status=429)
GONE = Failure(Reason.NOT_READY, detail="HTTP 410: gone", status=410)
NOT_READY = Failure(Reason.NOT_READY, detail="HTTP 404: not available right now", status=404)
REJECTED = Failure(Reason.REJECTED, detail="HTTP 400: <Error/>", status=400)
MALFORMED = Failure(Reason.MALFORMED, detail="the body is not JSON", status=200)


@dataclass
class Polling:
    """A poller and what it works with; without a started loop, its turns are taken by hand."""

    source: ScriptedSource
    poller: Poller
    latest: Latest[Snapshot]
    metrics: Metrics
    runtime: Runtime

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot."""
        return self.latest.value

    def judged(self) -> tuple[Status, Reason | None]:
        """Status and reason of the newest snapshot."""
        return self.snapshot.status, self.snapshot.reason

    @property
    def state(self) -> State:
        """The newest state."""
        return self.latest.value.state

    def count(self, name: str, **labels: str) -> float | None:
        """A sample of the metrics, without the prefix of its name."""
        return self.metrics.registry.get_sample_value(f"azure_lb_metadata_{name}", labels)


def new_polling(
    *script: Outcome | Hang, fraction: float = 0.5, poll_interval: float = 10.0, policy: Policy = POLICY
) -> Polling:
    """A poller whose randomness always gives `fraction`."""
    runtime = Runtime(clock=virtual_now, random=lambda: fraction)
    now = virtual_now()
    latest = Latest(Snapshot.of(State(started=now), now, policy))
    source = ScriptedSource(*script)
    poller = Poller(source, latest, policy=policy, poll_interval=poll_interval, runtime=runtime)
    return Polling(source, poller, latest, runtime.metrics, runtime)


@asynccontextmanager
async def running(polling: Polling) -> AsyncIterator[None]:
    """Both loops of a poller, until the end of the block."""
    async with asyncio.TaskGroup() as tasks:
        loops = [
            tasks.create_task(polling.poller.run()),
            tasks.create_task(polling.poller.watch_staleness()),
        ]
        yield
        for loop in loops:
            loop.cancel()


async def pauses_of(polling: Polling, seconds: float) -> list[float]:
    """The pauses between the attempts of the first `seconds`."""
    async with running(polling):
        await asyncio.sleep(seconds)
    return polling.source.pauses()


class TestInterval:
    """When the service is asked while it answers."""

    @pytest.mark.parametrize(("fraction", "pause"), [(0.0, 9.0), (0.5, 10.0), (1.0, 11.0)])
    async def test_jitter(self, fraction: float, pause: float) -> None:
        """Polls come every poll interval, up to 10 % earlier or later."""
        assert await pauses_of(new_polling(OK, fraction=fraction), 35) == [pause] * 3

    @pytest.mark.parametrize("outcome", [NONE, EMPTY_LISTS], ids=["none", "empty"])
    async def test_none_is_asked_at_the_interval(self, outcome: Answer) -> None:
        """The answer "there is none" is an answer: no backoff."""
        assert await pauses_of(new_polling(outcome), 45) == [10.0] * 4

    async def test_first_attempt_is_at_once(self) -> None:
        """The first attempt waits for nothing."""
        polling = new_polling(OK)
        begun = virtual_now().mono
        async with running(polling):
            await asyncio.sleep(1)

        assert polling.source.attempts == [begun]

    async def test_a_slow_answer_delays_the_next_attempt(self) -> None:
        """The interval begins when an attempt has ended, so attempts never overlap."""
        polling = new_polling(Hang(5.0), OK)

        assert await pauses_of(polling, 30) == [5.5, 10.0, 10.0]


class TestBackoff:
    """When the service is asked again after a failure."""

    async def test_ceilings(self) -> None:
        """The longest delays double from 1 s to 60 s."""
        polling = new_polling(UNAVAILABLE, fraction=1.0)

        assert await pauses_of(polling, 250) == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]

    async def test_full_jitter(self) -> None:
        """A delay is a random part of its ceiling."""
        assert await pauses_of(new_polling(UNAVAILABLE, fraction=0.25), 10) == [0.25, 0.5, 1.0, 2.0, 4.0]

    async def test_throttled_starts_a_step_later(self) -> None:
        """429 begins with the second ceiling."""
        assert await pauses_of(new_polling(THROTTLED, fraction=1.0), 130) == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0]

    async def test_gone_is_asked_every_interval(self) -> None:
        """410 lasts minutes and is asked every poll interval, jittered like any poll."""
        assert await pauses_of(new_polling(GONE, fraction=1.0), 50) == [11.0] * 4

    async def test_short_interval_scales(self) -> None:
        """With a poll interval under 1 s first delay and longest delay follow from it."""
        polling = new_polling(UNAVAILABLE, fraction=1.0, poll_interval=0.2)

        assert await pauses_of(polling, 4.5) == [0.2, 0.4, 0.8, 1.2, 1.2]

    @fault(
        Origin.SERVICE,
        "It answers 429, 503 or 410 with Retry-After",
        outage("throttled").but(
            recovery="Asked again after the time it names, at most 5 min; `ok` with the first answer."
        ),
    )
    @pytest.mark.parametrize("failure", [THROTTLED, UNAVAILABLE, GONE], ids=["429", "503", "410"])
    async def test_retry_after(self, failure: Failure) -> None:
        """What the service asks to wait is waited, whatever the status."""
        polling = new_polling(replace(failure, retry_after=40.0), fraction=0.1)

        assert await pauses_of(polling, 100) == [40.0, 40.0]

    async def test_short_retry_after(self) -> None:
        """A shorter Retry-After than our own delay does not hasten anything."""
        polling = new_polling(replace(UNAVAILABLE, retry_after=0.5), fraction=1.0)

        assert await pauses_of(polling, 8) == [1.0, 2.0, 4.0]

    async def test_an_answer_ends_it(self) -> None:
        """After an answer the backoff begins anew."""
        polling = new_polling(UNAVAILABLE, UNAVAILABLE, OK, UNAVAILABLE, fraction=1.0)

        assert await pauses_of(polling, 16) == [1.0, 2.0, 11.0, 1.0]


class TestStaleness:
    """The status changes with time alone."""

    async def test_at_the_very_second(self) -> None:
        """Data become stale stale-after after the last answer, between two attempts too."""
        polling = new_polling(OK, Hang(0.0), replace(UNAVAILABLE, retry_after=10_000.0))
        async with running(polling):
            await asyncio.sleep(299.9)
            assert polling.snapshot.status is Status.OK
            seen = polling.snapshot

            changed = await polling.latest.changed(seen)

        assert (changed.status, changed.reason) == (Status.STALE, Reason.UNAVAILABLE)
        assert virtual_now().mono == pytest.approx(1300.0)
        assert changed.state is seen.state

    async def test_while_an_attempt_hangs(self) -> None:
        """An attempt that never ends does not keep data fresh; no attempt has failed yet."""
        polling = new_polling(OK, Hang(100_000.0))
        async with running(polling):
            await asyncio.sleep(301)

            assert polling.judged() == (Status.STALE, Reason.UNREACHABLE)
            assert polling.state.document is OK.document

    async def test_recovery(self) -> None:
        """The next answer makes the status ok at once, and the timer begins anew."""
        polling = new_polling(OK, Hang(400.0), OK, Hang(100_000.0))
        async with running(polling):
            await asyncio.sleep(405)
            assert polling.judged()[0] is Status.STALE
            await asyncio.sleep(10)
            assert polling.judged()[0] is Status.OK
            recovered = polling.state.observed
            assert recovered is not None
            await asyncio.sleep(recovered.mono + 299.9 - virtual_now().mono)
            assert polling.judged()[0] is Status.OK
            await asyncio.sleep(0.2)
            assert polling.judged()[0] is Status.STALE

    async def test_fresh_data_never_flicker(self) -> None:
        """While the service answers, the status stays ok for hours."""
        polling = new_polling(OK)
        seen: set[Status] = set()
        async with running(polling):
            await asyncio.sleep(1)
            for _ in range(2 * 360):
                seen.add(polling.snapshot.status)
                await asyncio.sleep(10)

        assert seen == {Status.OK}

    async def test_no_metadata_gets_stale_too(self) -> None:
        """An outage after an accepted "none" is stale like any other, and keeps saying "none"."""
        polling = new_polling(NONE, NONE, NONE, Hang(5.0))
        async with running(polling):
            await asyncio.sleep(25)
            assert polling.judged()[0] is Status.NO_METADATA
            await asyncio.sleep(300)

            assert polling.judged()[0] is Status.STALE
            assert polling.state.document == EMPTY


FAULTS = {
    "503": UNAVAILABLE,
    "429": THROTTLED,
    "429-retry-after": replace(THROTTLED, retry_after=300.0),
    "410": GONE,
    "404-not-ready": NOT_READY,
    "xml": REJECTED,
    "malformed": MALFORMED,
    "hang": Hang(5.0),
}


class TestFaults:
    """An error never removes anything."""

    @also_shows("It answers 503", cases=("503",))
    @also_shows("It answers 429", cases=("429",))
    @also_shows("It answers 410, as during a host update", cases=("410",))
    @also_shows("It accepts connections and never answers", cases=("hang",))
    @also_shows("It answers 400 with an XML body", cases=("xml",))
    @pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
    async def test_an_hour_of_it(self, fault: Failure | Hang) -> None:
        """After an hour of any fault the same document is published, called stale, with its reason."""
        polling = new_polling(OK, fault)
        async with running(polling):
            await asyncio.sleep(3600)

        assert polling.state.document is OK.document
        assert polling.snapshot.status is Status.STALE
        expected = Reason.UNREACHABLE if isinstance(fault, Hang) else fault.reason
        assert polling.snapshot.reason is expected
        assert polling.state.changes == ()

    async def test_faults_from_the_start(self) -> None:
        """Without any answer the status stays starting, with the reason of the last attempt."""
        polling = new_polling(GONE, UNAVAILABLE)
        async with running(polling):
            await asyncio.sleep(3600)

        assert polling.judged() == (Status.STARTING, Reason.UNAVAILABLE)
        assert polling.state.document is None

    async def test_faults_between_absences(self) -> None:
        """Errors neither count as answers without data nor reset the count."""
        polling = new_polling(
            OK, NONE, UNAVAILABLE, NONE, UNAVAILABLE, policy=replace(POLICY, absent_after=0.0)
        )
        for _ in range(5):
            await polling.poller.turn()
        assert polling.state.document is OK.document
        polling.source.then(NONE)

        await polling.poller.turn()

        assert polling.state.document == EMPTY


class TestWithdrawal:
    """Answers without data withdraw what is published only after absent-after and three of them."""

    @pytest.mark.parametrize("outcome", [NONE, EMPTY_LISTS], ids=["none", "empty"])
    @pytest.mark.parametrize(
        ("poll_interval", "withdrawn_after"), [(10.0, 310.0), (140.0, 560.0), (400.0, 1200.0)]
    )
    async def test_after_absent_after(
        self, outcome: Answer, poll_interval: float, withdrawn_after: float
    ) -> None:
        """Data go with the first answer that is both the third and absent-after after the first."""
        polling = new_polling(
            OK, outcome, poll_interval=poll_interval, policy=Policy(stale_after=1e6, absent_after=300.0)
        )
        async with running(polling):
            await asyncio.sleep(withdrawn_after - 0.1)
            assert polling.state.document == OK.document
            assert polling.snapshot.status is Status.OK
            await asyncio.sleep(0.2)

        assert polling.state.document == EMPTY
        assert polling.judged() == (Status.NO_METADATA, Reason.NO_METADATA)

    @fault(
        Origin.SERVICE,
        "It flaps: 200, 404, 200",
        Promise(
            served="The data all the while, `ok`: what came back was never away.",
            annotated="Nothing is written.",
            logged="`lists-missing` once per flap; no change is counted.",
            recovery="Nothing to recover from.",
        ),
    )
    async def test_a_flap(self) -> None:
        """Data that come back in between were never away."""
        polling = new_polling(OK, *[NONE] * 20, OK, *[NONE] * 20, OK)
        async with running(polling):
            await asyncio.sleep(500)

        assert polling.state.document is OK.document
        assert polling.state.changes == ()
        assert polling.count("revision_changes_total") == 0

    async def test_nothing_published_before(self) -> None:
        """Where nothing was published before, three answers are enough."""
        polling = new_polling(NONE)
        async with running(polling):
            await asyncio.sleep(19)
            assert polling.judged() == (Status.STARTING, Reason.NO_METADATA)
            await asyncio.sleep(2)

        assert polling.snapshot.status is Status.NO_METADATA


def events(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, object]]:
    """The fields of every log line of this event."""
    return [vars(record)["fields"] for record in caplog.records if record.message == name]


class TestLog:
    """One line per change, none per repetition."""

    @pytest.fixture(autouse=True)
    def level(self, caplog: pytest.LogCaptureFixture) -> None:
        """Every event is captured."""
        caplog.set_level(logging.INFO)

    async def test_missing_lists(self, caplog: pytest.LogCaptureFixture) -> None:
        """Lists that begin to be missing, while they are still published, are logged once."""
        polling = new_polling(OK, *[NONE] * 5, OK, NONE, policy=Policy(stale_after=1e6, absent_after=300.0))
        for _ in range(9):
            await polling.poller.turn()

        lists = "inbound_rules,outbound_rules,public_ip_addresses"
        line = {"lists": lists, "withdrawn_after_seconds": 300.0}
        assert events(caplog, "lists-missing") == [line, line]

    async def test_failures(self, caplog: pytest.LogCaptureFixture) -> None:
        """A failure is logged when its reason is another one than before."""
        polling = new_polling(UNAVAILABLE, UNAVAILABLE, THROTTLED, THROTTLED, UNAVAILABLE, OK, OK)
        for _ in range(7):
            await polling.poller.turn()

        assert [event["reason"] for event in events(caplog, "poll-failed")] == [
            "unavailable",
            "throttled",
            "unavailable",
        ]
        assert events(caplog, "poll-failed")[0]["detail"] == "HTTP 503: busy"
        assert events(caplog, "poll-recovered") == [{"failures": 5, "was": "unavailable"}]

    async def test_quiet_hours(self, caplog: pytest.LogCaptureFixture) -> None:
        """A service that keeps saying the same is silent after its first answer."""
        polling = new_polling(OK)
        async with running(polling):
            await asyncio.sleep(1)
            caplog.clear()
            await asyncio.sleep(3600)

        assert caplog.records == []

    async def test_an_hour_of_a_fault(self, caplog: pytest.LogCaptureFixture) -> None:
        """An hour of one fault is the failure, the status when it becomes stale, and ever rarer reminders."""
        polling = new_polling(OK, UNAVAILABLE)
        async with running(polling):
            await asyncio.sleep(1)
            caplog.clear()
            await asyncio.sleep(3600)

        messages = [record.message for record in caplog.records]
        assert messages == ["poll-failed", "status-changed", *["poll-still-failing"] * 3]
        assert events(caplog, "status-changed") == [
            {"before": "ok", "status": "stale", "reason": "unavailable"}
        ]

    async def test_reminders(self, caplog: pytest.LogCaptureFixture) -> None:
        """A fault that lasts is logged again after 10, 20, 40 minutes and so on, and anew after an answer."""
        polling = new_polling(OK, UNAVAILABLE)
        async with running(polling):
            await asyncio.sleep(86_400)
            day = [event["seconds"] for event in events(caplog, "poll-still-failing")]
            polling.source.then(OK, UNAVAILABLE)
            await asyncio.sleep(1000)

        assert [round(int(str(seconds)) / 300) for seconds in day] == [2, 4, 8, 16, 32, 64, 128, 256]
        assert len(events(caplog, "poll-still-failing")) == len(day) + 1
        last = events(caplog, "poll-still-failing")[-1]
        assert (last["reason"], last["detail"]) == ("unavailable", "HTTP 503: busy")

    async def test_levels_of_status(self, caplog: pytest.LogCaptureFixture) -> None:
        """Getting well is information, everything else a warning."""
        polling = new_polling(OK, Hang(400.0), OK)
        async with running(polling):
            await asyncio.sleep(420)

        levels = [record.levelname for record in caplog.records if record.message == "status-changed"]
        assert levels == ["INFO", "WARNING", "INFO"]

    async def test_documents(self, caplog: pytest.LogCaptureFixture) -> None:
        """A new document is one line with its revision and what came and went; the first has no changes."""
        changed = replace(FULL, public_ip_addresses=(public("20.1.2.4"),))
        polling = new_polling(OK, OK, answer(changed), answer(changed))
        for _ in range(4):
            await polling.poller.turn()

        assert events(caplog, "document-changed") == [
            {"revision": FULL.revision, "entries": 3, "source": "imds"},
            {
                "revision": changed.revision,
                "entries": 3,
                "source": "imds",
                "changes": "-public 20.1.2.3 +public 20.1.2.4",
            },
        ]

    async def test_long_changes(self, caplog: pytest.LogCaptureFixture) -> None:
        """Of a large change 20 items are named."""
        rules = tuple(inbound("20.20.20.20", port=port) for port in range(1, 251))
        polling = new_polling(OK, answer(replace(FULL, inbound_rules=rules)))
        await polling.poller.turn()
        await polling.poller.turn()

        changes = str(events(caplog, "document-changed")[1]["changes"])
        assert changes.count("inbound ") == 20

    async def test_dropped_entries(self, caplog: pytest.LogCaptureFixture) -> None:
        """A wrong entry is logged and counted once, however often and in whatever order it comes."""
        ports = DroppedEntry("inboundRules", "frontendPort", "{'frontendPort': -1}")
        address = DroppedEntry("publicIpAddresses", "frontendIpAddress", "{}")
        both = replace(OK, dropped=(ports, address))
        reordered = replace(OK, dropped=(address, ports))
        polling = new_polling(both, both, reordered, UNAVAILABLE, both, OK, replace(OK, dropped=(address,)))
        for _ in range(5):
            await polling.poller.turn()

        assert events(caplog, "entries-dropped") == [
            {"count": 2, "list": "inboundRules", "cause": "frontendPort", "entry": "{'frontendPort': -1}"}
        ]
        assert polling.count("dropped_entries_total", list="inboundRules", cause="frontendPort") == 1
        assert (
            polling.count("dropped_entries_total", list="publicIpAddresses", cause="frontendIpAddress") == 1
        )

        await polling.poller.turn()
        await polling.poller.turn()

        assert len(events(caplog, "entries-dropped")) == 2

    async def test_entries_not_looked_at(self, caplog: pytest.LogCaptureFixture) -> None:
        """Entries beyond the most that are looked at are counted one by one, and logged with their number."""
        polling = new_polling(replace(OK, dropped=(DroppedEntry("inboundRules", "too-many", "0", count=7),)))
        await polling.poller.turn()

        assert events(caplog, "entries-dropped") == [
            {"count": 7, "list": "inboundRules", "cause": "too-many", "entry": "0"}
        ]
        assert polling.count("dropped_entries_total", list="inboundRules", cause="too-many") == 7


class TestMetrics:
    """What the poller counts."""

    async def test_attempts(self) -> None:
        """Each attempt counts under "ok", "no-metadata" or the reason of its failure."""
        polling = new_polling(OK, NONE, EMPTY_LISTS, UNAVAILABLE, THROTTLED, OK)
        for _ in range(6):
            await polling.poller.turn()

        counts = {
            outcome: polling.count("attempts_total", outcome=outcome) for outcome in ("ok", *map(str, Reason))
        }
        assert counts == {
            "ok": 3,
            "no-metadata": 1,
            "unavailable": 1,
            "throttled": 1,
            "not-ready": 0,
            "unreachable": 0,
            "rejected": 0,
            "malformed": 0,
        }

    async def test_seconds(self) -> None:
        """The time of each attempt is observed, failed or not."""
        polling = new_polling(OK, Hang(4.0))
        await polling.poller.turn()
        await polling.poller.turn()

        assert polling.count("attempt_duration_seconds_count") == 2
        assert polling.count("attempt_duration_seconds_sum") == pytest.approx(4.0)

    async def test_changes(self) -> None:
        """Changes of what is published count; the first document is none."""
        polling = new_polling(OK, answer(document(out=outbound("52.9.9.9"))), OK)
        polling.poller.take_up(found(revision="0" * 16))
        for _ in range(3):
            await polling.poller.turn()

        # The second answer lacks two lists, which stay; so its change is that of the outbound rule.
        assert polling.count("revision_changes_total") == 2
        kinds = {kind: polling.count("changes_total", kind=kind) for kind in KINDS}
        assert kinds == {"public": 0, "inbound": 0, "outbound": 2, "rules": 0}


def found(*, revision: str = FULL.revision, age: float | None = None) -> Found:
    """What an earlier run published: `FULL` if it was last seen `age` seconds before the epoch."""
    return Found(
        revision=revision,
        changed_at=EPOCH.utc - timedelta(days=1),
        changes=(Change(at=EPOCH.utc - timedelta(days=1), items=("+public 20.1.2.3",)),),
        document=None if age is None else replace(FULL),  # equal, and another object as in real life
        observed_at=None if age is None else EPOCH.utc - timedelta(seconds=age),
    )


class TestTakeUp:
    """What an earlier run published is taken up before or after the first answer, to the same end."""

    async def test_before_the_first_answer(self, caplog: pytest.LogCaptureFixture) -> None:
        """The document is served as stale at once, and the first answer makes it ok without a change."""
        caplog.set_level(logging.INFO)
        polling = new_polling(Hang(5.0), OK)
        polling.poller.take_up(found(age=3600.0))

        assert (polling.snapshot.status, polling.state.source) == (Status.STALE, Source.RESTORED)
        assert polling.state.document == FULL
        assert len(events(caplog, "taken-up")) == 1

        async with running(polling):
            await asyncio.sleep(20)

        assert (polling.snapshot.status, polling.state.source) == (Status.OK, Source.IMDS)
        assert polling.state.changed_at == found().changed_at
        assert polling.state.changes == found().changes
        assert polling.count("revision_changes_total") == 0
        assert len(events(caplog, "document-changed")) == 1

    async def test_after_the_first_answer(self, caplog: pytest.LogCaptureFixture) -> None:
        """Taking up the same document late is no change, and keeps when it was first seen."""
        polling = new_polling(OK)
        await polling.poller.turn()
        caplog.set_level(logging.INFO)

        polling.poller.take_up(found(age=3600.0))

        assert (polling.snapshot.status, polling.state.source) == (Status.OK, Source.IMDS)
        assert polling.state.changed_at == found().changed_at
        assert polling.state.changes == found().changes
        assert polling.count("revision_changes_total") == 0
        assert [record.message for record in caplog.records] == ["taken-up"]

    async def test_after_an_answer_that_lacks_a_list(self, caplog: pytest.LogCaptureFixture) -> None:
        """A list that the first answer lacked comes back with what was found, and is logged so."""
        polling = new_polling(answer(replace(FULL, inbound_rules=())))
        await polling.poller.turn()
        caplog.set_level(logging.INFO)

        polling.poller.take_up(found(age=60.0))

        assert polling.state.document == FULL
        assert polling.snapshot.status is Status.OK
        assert [event.get("changes") for event in events(caplog, "document-changed")] == [
            "+inbound tcp/20.20.20.20:443"
        ]

    async def test_revision_alone(self) -> None:
        """Of a revision without its document, time and history are kept when the answer has that revision."""
        polling = new_polling(OK)
        polling.poller.take_up(found())
        assert polling.snapshot.status is Status.STARTING

        await polling.poller.turn()

        assert polling.state.changed_at == found().changed_at
        assert polling.state.changes == found().changes

    async def test_outage_from_the_start(self) -> None:
        """During an outage what was found stays, stale, with the reason of the outage."""
        polling = new_polling(UNAVAILABLE)
        polling.poller.take_up(found(age=60.0))
        async with running(polling):
            await asyncio.sleep(3600)

        assert polling.state.document == FULL
        assert polling.judged() == (Status.STALE, Reason.UNAVAILABLE)
        assert polling.state.source is Source.RESTORED


class TestLoops:
    """The loops end only from outside."""

    @pytest.mark.parametrize("seconds", [0.0, 1.0, 12.0], ids=["beginning", "sleeping", "asking"])
    async def test_cancellation(self, seconds: float) -> None:
        """A cancelled poller ends at once, wherever it is."""
        polling = new_polling(OK, Hang(100.0))
        task = asyncio.create_task(polling.poller.run())
        await asyncio.sleep(seconds)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task

    @pytest.mark.parametrize("outcome", [OK, UNAVAILABLE], ids=["timer", "event"])
    async def test_cancellation_of_the_timer(self, outcome: Outcome) -> None:
        """A cancelled staleness timer ends at once, whether it waits for a time or for a change."""
        polling = new_polling(outcome)
        await polling.poller.turn()
        task = asyncio.create_task(polling.poller.watch_staleness())
        await asyncio.sleep(1.0)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_defect_of_the_source(self) -> None:
        """An exception of the source is a defect: it ends the loop instead of being hidden."""

        class Defective(ScriptedSource):
            async def fetch(self) -> Outcome:
                raise LookupError("a defect")

        polling = new_polling(OK)
        poller = Poller(
            Defective(OK), polling.latest, policy=POLICY, poll_interval=10.0, runtime=polling.runtime
        )

        with pytest.raises(LookupError):
            await poller.run()

    async def test_liveness(self) -> None:
        """The next turn is expected at its time, so that a poller that is gone is noticed."""
        polling = new_polling(OK)
        overdue: Callable[[], list[str]] = polling.runtime.liveness.overdue
        async with running(polling):
            await asyncio.sleep(1000)
            assert overdue() == []

        await asyncio.sleep(41)

        assert overdue() == ["poller"]

    async def test_liveness_of_a_held_attempt(self) -> None:
        """An attempt that the other side holds, because it was asked to, is not late before that time."""
        polling = new_polling(Hang(1000))
        polling.source.longest_wait = 60.0
        async with running(polling):
            await asyncio.sleep(89)
            assert polling.runtime.liveness.overdue() == []
            await asyncio.sleep(2)
            assert polling.runtime.liveness.overdue() == ["poller"]
