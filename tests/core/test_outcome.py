"""The words of the contract, and the answer "there is none"."""

from sidecar.core.document import EMPTY
from sidecar.core.outcome import NONE, Reason, Status


def test_status_words_are_the_contract() -> None:
    """Status has four words, which users match on."""
    assert [str(status) for status in Status] == ["starting", "ok", "stale", "no-metadata"]


def test_reason_words_are_the_contract() -> None:
    """Reason has seven words, the same in annotations, answers, metrics and logs."""
    # pylint: disable=duplicate-code  # the contract, spelled out beside the code
    assert [str(reason) for reason in Reason] == [
        "no-metadata",
        "not-ready",
        "throttled",
        "unavailable",
        "unreachable",
        "rejected",
        "malformed",
    ]


def test_none_is_an_answer_without_a_body() -> None:
    """The answer "there is none" is a document with three empty lists, of which no bytes came."""
    assert NONE.document == EMPTY
    assert NONE.body is None
    assert NONE.dropped == ()
