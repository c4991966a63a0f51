"""What the poller counts."""

import pytest

from sidecar.core.changes import KINDS
from sidecar.core.outcome import NONE, Reason
from tests.agent.poller.polling import EMPTY_LISTS, OK, THROTTLED, UNAVAILABLE, found, new_polling
from tests.core.examples import MOVED, answer, document, outbound
from tests.support.fakes import Hang

pytestmark = pytest.mark.looptime(start=1000)


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
        polling.poller.restore(found(revision="0" * 16))
        for _ in range(3):
            await polling.poller.turn()

        # The second answer lacks two lists, which stay; so its change is that of the outbound rule.
        assert polling.count("revision_changes_total") == 2
        kinds = {kind: polling.count("changes_total", kind=kind) for kind in KINDS}
        assert kinds == {"public": 0, "inbound": 0, "outbound": 2, "rules": 0}

    @pytest.mark.parametrize("found_first", [True, False])
    @pytest.mark.parametrize("answers", [1, 3])
    async def test_order_of_restoring_and_answer(self, *, found_first: bool, answers: int) -> None:
        """What changed since the earlier run counts once, whichever of the two is known first."""
        polling = new_polling(answer(MOVED))
        if found_first:
            polling.poller.restore(found(age=100.0))
        for _ in range(answers):
            await polling.poller.turn()
        if not found_first:
            polling.poller.restore(found(age=100.0))
        await polling.poller.turn()

        assert polling.count("revision_changes_total") == 1
        kinds = {kind: polling.count("changes_total", kind=kind) for kind in KINDS}
        assert kinds == {"public": 0, "inbound": 0, "outbound": 1, "rules": 0}
