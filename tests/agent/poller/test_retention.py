"""What is published stays under every fault, and goes only by the rule of withdrawal."""

import asyncio
from dataclasses import replace

import pytest

from sidecar.core.document import EMPTY
from sidecar.core.outcome import NONE, Failure, Reason, Status, Success
from sidecar.core.state import Policy
from tests.agent.poller.polling import (
    EMPTY_LISTS,
    GONE,
    MALFORMED,
    NOT_READY,
    OK,
    REJECTED,
    THROTTLED,
    UNAVAILABLE,
    new_polling,
    running,
)
from tests.support.fakes import Hang
from tests.support.faults import Origin, Promise, also_shows, fault
from tests.support.states import POLICY

pytestmark = pytest.mark.looptime(start=1000)


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
        self, outcome: Success, poll_interval: float, withdrawn_after: float
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
