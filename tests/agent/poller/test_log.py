"""What the poller logs: one line per change, none per repetition."""

import asyncio
import logging
from dataclasses import replace

import pytest

from sidecar.core.outcome import NONE
from sidecar.core.parsing import DroppedEntry
from sidecar.core.state import Policy
from tests.agent.poller.polling import OK, THROTTLED, UNAVAILABLE, new_polling, running
from tests.core.examples import FULL, answer, inbound, public
from tests.support.fakes import Hang
from tests.support.records import logged

pytestmark = pytest.mark.looptime(start=1000)


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
        assert logged(caplog, "lists-missing") == [line, line]

    async def test_failures(self, caplog: pytest.LogCaptureFixture) -> None:
        """A failure is logged when its reason is another one than before."""
        polling = new_polling(UNAVAILABLE, UNAVAILABLE, THROTTLED, THROTTLED, UNAVAILABLE, OK, OK)
        for _ in range(7):
            await polling.poller.turn()

        assert [event["reason"] for event in logged(caplog, "poll-failed")] == [
            "unavailable",
            "throttled",
            "unavailable",
        ]
        assert logged(caplog, "poll-failed")[0]["detail"] == "HTTP 503: busy"
        assert logged(caplog, "poll-recovered") == [{"failures": 5, "was": "unavailable"}]

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
        assert logged(caplog, "status-changed") == [
            {"before": "ok", "status": "stale", "reason": "unavailable"}
        ]

    async def test_reminders(self, caplog: pytest.LogCaptureFixture) -> None:
        """A fault that lasts is logged again after 10, 20, 40 minutes and so on, and anew after an answer."""
        polling = new_polling(OK, UNAVAILABLE)
        async with running(polling):
            await asyncio.sleep(86_400)
            day = [event["seconds"] for event in logged(caplog, "poll-still-failing")]
            polling.source.then(OK, UNAVAILABLE)
            await asyncio.sleep(1000)

        assert [round(int(str(seconds)) / 300) for seconds in day] == [2, 4, 8, 16, 32, 64, 128, 256]
        assert len(logged(caplog, "poll-still-failing")) == len(day) + 1
        last = logged(caplog, "poll-still-failing")[-1]
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

        assert logged(caplog, "document-changed") == [
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

        changes = str(logged(caplog, "document-changed")[1]["changes"])
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

        assert logged(caplog, "entries-dropped") == [
            {"count": 2, "list": "inboundRules", "cause": "frontendPort", "entry": "{'frontendPort': -1}"}
        ]
        assert polling.count("dropped_entries_total", list="inboundRules", cause="frontendPort") == 1
        assert (
            polling.count("dropped_entries_total", list="publicIpAddresses", cause="frontendIpAddress") == 1
        )

        await polling.poller.turn()
        await polling.poller.turn()

        assert len(logged(caplog, "entries-dropped")) == 2

    async def test_entries_not_looked_at(self, caplog: pytest.LogCaptureFixture) -> None:
        """Entries beyond the most that are looked at are counted one by one, and logged with their number."""
        polling = new_polling(replace(OK, dropped=(DroppedEntry("inboundRules", "too-many", "0", count=7),)))
        await polling.poller.turn()

        assert logged(caplog, "entries-dropped") == [
            {"count": 7, "list": "inboundRules", "cause": "too-many", "entry": "0"}
        ]
        assert polling.count("dropped_entries_total", list="inboundRules", cause="too-many") == 7
