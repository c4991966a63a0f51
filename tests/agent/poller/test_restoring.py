"""What an earlier run published, before or after the first answer."""

import asyncio
import logging
from dataclasses import replace

import pytest

from sidecar.core.outcome import Reason, Status
from sidecar.core.state import DataOrigin
from tests.agent.poller.polling import OK, UNAVAILABLE, found, new_polling, running
from tests.core.examples import FULL, answer
from tests.support.fakes import Hang
from tests.support.records import logged

pytestmark = pytest.mark.looptime(start=1000)


class TestRestoring:
    """What an earlier run published is restored before or after the first answer, to the same end."""

    async def test_before_the_first_answer(self, caplog: pytest.LogCaptureFixture) -> None:
        """The document is served as stale at once, and the first answer makes it ok without a change."""
        caplog.set_level(logging.INFO)
        polling = new_polling(Hang(5.0), OK)
        polling.poller.restore(found(age=3600.0))

        assert (polling.snapshot.status, polling.state.source) == (Status.STALE, DataOrigin.RESTORED)
        assert polling.state.document == FULL
        assert len(logged(caplog, "taken-up")) == 1

        async with running(polling):
            await asyncio.sleep(20)

        assert (polling.snapshot.status, polling.state.source) == (Status.OK, DataOrigin.IMDS)
        assert polling.state.changed_at == found().changed_at
        assert polling.state.changes == found().changes
        assert polling.count("revision_changes_total") == 0
        assert len(logged(caplog, "document-changed")) == 1

    async def test_after_the_first_answer(self, caplog: pytest.LogCaptureFixture) -> None:
        """Restoring the same document late is no change, and keeps when it was first seen."""
        polling = new_polling(OK)
        await polling.poller.turn()
        caplog.set_level(logging.INFO)

        polling.poller.restore(found(age=3600.0))

        assert (polling.snapshot.status, polling.state.source) == (Status.OK, DataOrigin.IMDS)
        assert polling.state.changed_at == found().changed_at
        assert polling.state.changes == found().changes
        assert polling.count("revision_changes_total") == 0
        assert [record.message for record in caplog.records] == ["taken-up"]

    async def test_after_an_answer_that_lacks_a_list(self, caplog: pytest.LogCaptureFixture) -> None:
        """A list that the first answer lacked comes back with what was found, and is logged so."""
        polling = new_polling(answer(replace(FULL, inbound_rules=())))
        await polling.poller.turn()
        caplog.set_level(logging.INFO)

        polling.poller.restore(found(age=60.0))

        assert polling.state.document == FULL
        assert polling.snapshot.status is Status.OK
        assert [event.get("changes") for event in logged(caplog, "document-changed")] == [
            "+inbound tcp/20.20.20.20:443"
        ]

    async def test_revision_alone(self) -> None:
        """Of a revision without its document, time and history are kept when the answer has that revision."""
        polling = new_polling(OK)
        polling.poller.restore(found())
        assert polling.snapshot.status is Status.STARTING

        await polling.poller.turn()

        assert polling.state.changed_at == found().changed_at
        assert polling.state.changes == found().changes

    async def test_outage_from_the_start(self) -> None:
        """During an outage what was found stays, stale, with the reason of the outage."""
        polling = new_polling(UNAVAILABLE)
        polling.poller.restore(found(age=60.0))
        async with running(polling):
            await asyncio.sleep(3600)

        assert polling.state.document == FULL
        assert polling.judged() == (Status.STALE, Reason.UNAVAILABLE)
        assert polling.state.source is DataOrigin.RESTORED
