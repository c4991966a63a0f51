"""The promises that every answer must keep, stated a second time and apart from the code that keeps them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sidecar.core.annotations import KEYS, Layout, annotations
from sidecar.core.document import Document
from sidecar.core.outcome import Failure, Outcome, Reason, Success
from sidecar.core.parsing import DroppedEntry, parse_canonical
from sidecar.core.state import Snapshot, State
from tests.support.states import POLICY

LAYOUT = Layout(budget=8192)

LISTS: Mapping[str, str] = MappingProxyType(
    {
        "publicIpAddresses": "public_ip_addresses",
        "inboundRules": "inbound_rules",
        "outboundRules": "outbound_rules",
    }
)
"""The service's name of each list, and ours."""

_CAUSES = {"entry", "frontendIpAddress", "privateIpAddress", "protocol", "frontendPort", "backendPort"}
_LONGEST_DETAIL = 300
_LONGEST_SHOWN = 200


def judge_outcome(status: int, body: bytes, outcome: Outcome) -> None:
    """An outcome is an answer that the bytes support, or a failure that is safe to print."""
    if isinstance(outcome, Success):
        if outcome.body is not None:
            assert status == 200
            judge_answer(body, outcome)
        else:
            assert status == 404
            assert outcome.document.empty
            assert b"load balancer metadata" in body.lower() or b"\\u" in body.lower()
        return
    assert isinstance(outcome, Failure)
    assert outcome.reason in Reason
    assert outcome.reason is not Reason.NO_METADATA
    assert outcome.reason is Reason.MALFORMED or status != 200
    assert _printable(outcome.detail, _LONGEST_DETAIL), outcome.detail


def judge_answer(body: bytes, answer: Success) -> None:
    """A document is what the standard library's JSON reads too, and no list is empty that had entries."""
    assert answer.body == body
    sent = json.loads(body.removeprefix(b"\xef\xbb\xbf").decode())["loadbalancer"]
    dropped = _by_list(answer.dropped)
    for name, ours in LISTS.items():
        listed: list[Any] = sent.get(name) or []
        kept: Sequence[object] = getattr(answer.document, ours)
        assert isinstance(listed, list)
        entries = [entry for entry in listed if not _absent(entry)]
        assert bool(entries) == bool(kept), f"{name}: {len(entries)} entries became {len(kept)}"
        assert len(kept) + dropped.get(name, 0) <= len(entries)
    for entry in answer.dropped:
        assert entry.cause in _CAUSES
        assert _printable(entry.shown, _LONGEST_SHOWN), entry.shown
    _judge_canonical(answer.document)
    _judge_addresses(answer.document)


def _judge_addresses(document: Document) -> None:
    """No address is one that nothing can have."""
    pairs = (entry for ours in LISTS.values() for entry in getattr(document, ours))
    addresses = {address for entry in pairs for address in (entry.frontend_ip, entry.private_ip)}
    assert not any(
        address.is_unspecified or address.is_loopback or address.is_multicast for address in addresses
    )


def _absent(entry: object) -> bool:
    """An entry with an empty frontend is none at all."""
    return isinstance(entry, dict) and entry.get("frontendIpAddress", 0) in (None, "")


def _judge_canonical(document: Document) -> None:
    again = parse_canonical(document.canonical)
    assert again.document == document
    assert not again.dropped
    assert again.document.canonical == document.canonical


def _by_list(entries: Sequence[DroppedEntry]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for entry in entries:
        numbers[entry.list_name] = numbers.get(entry.list_name, 0) + 1
    return numbers


def judge_annotations(snapshot: Snapshot) -> None:
    """What would be written to a Node is within the budget, under known keys, and printable ASCII."""
    values = annotations(snapshot.state, snapshot.status, snapshot.reason, layout=LAYOUT)
    assert sum(len(key) + len(value) for key, value in values.items()) <= LAYOUT.budget
    assert values.keys() <= {LAYOUT.key(name) for name in KEYS}
    assert all(_printable(value, LAYOUT.budget) for value in values.values())


def _printable(text: str, longest: int) -> bool:
    return len(text) <= longest and text.isascii() and (text.isprintable() or not text)


@dataclass
class History:
    """All answers of one run, and what may be published after them."""

    answers: list[tuple[float, Document]] = field(default_factory=list)
    """When, in seconds, and what."""

    def judge(self, before: State, outcome: Outcome, after: State, *, seconds: float) -> bool:
        """A failure changes nothing; an answer changes what it says, and takes away only by the rule.

        Returns:
            Whether something was withdrawn.
        """
        if isinstance(outcome, Failure):
            assert after.document is before.document
            assert after.observed is before.observed
            assert after.changes is before.changes
            return False
        previous = self.answers[-1][1] if self.answers else None
        self.answers.append((seconds, outcome.document))
        withdrawn = False
        for name in LISTS.values():
            had, said = _entries(before.document, name), _entries(outcome.document, name)
            has = _entries(after.document, name)
            if said and set(said) < set(had):
                confirmed = previous is not None and _entries(previous, name) == said
                assert has == (said if confirmed else had), f"{name} has lost entries against the rule"
            elif said or not had:
                assert has == said, f"{name} is not what was answered"
            elif has != had:
                assert not has, f"{name} has lost a part without an answer that says so"
                assert self._permits_withdrawal(name), f"{name} was withdrawn too early"
                withdrawn = True
            else:
                assert not self._permits_withdrawal(name), f"{name} is kept too long"
        return withdrawn

    def _permits_withdrawal(self, name: str) -> bool:
        """Whether the last answers, at least 3 over absent-after, all lacked the list."""
        lacking: list[float] = []
        for seconds, document in reversed(self.answers):
            if _entries(document, name):
                break
            lacking.append(seconds)
        return len(lacking) >= 3 and lacking[0] - lacking[-1] >= POLICY.absent_after


def _entries(document: Document | None, name: str) -> tuple[object, ...]:
    return () if document is None else tuple(getattr(document, name))
