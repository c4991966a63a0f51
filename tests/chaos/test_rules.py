"""The model that judges chaos knows what is allowed from what is not."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.documents import EMPTY, parsed
from tests.chaos.rules import Durations, Rules, Violation

WIRE: dict[str, Any] = {
    "publicIpAddresses": [{"frontendIpAddress": "192.0.2.4", "privateIpAddress": "10.0.0.4"}],
    "inboundRules": [],
    "outboundRules": [{"frontendIpAddress": "203.0.113.1", "privateIpAddress": "10.0.0.4"}],
}
NOTHING: dict[str, Any] = {name: [] for name in WIRE}
DOCUMENT = parsed(WIRE)
LACKING = {**WIRE, "outboundRules": []}


def revision(wire: dict[str, Any]) -> str:
    """As agents make it."""
    return hashlib.sha256(json.dumps(wire, separators=(",", ":")).encode()).hexdigest()[:16]


def see(rules: Rules, at: float, wire: dict[str, Any] = WIRE, **other: str | None) -> None:
    """An answer of the agent is judged; it is fresh and right but for `other`."""
    values = {
        "status": "ok",
        "reason": None,
        "age": "0",
        "source": "imds",
        "revision": revision(wire),
    } | other
    headers = {
        "Age": str(values.pop("age")),
        "Azure-LB-Metadata-Source": str(values.pop("source")),
        "Azure-LB-Metadata-Observed-At": str(values.pop("observed", "2026-01-02T03:04:05Z")),
    }
    rules.served(at, json.dumps({**values, "loadbalancer": wire}), headers)


def sight(wire: dict[str, Any] = WIRE, **other: str) -> dict[str, str]:
    """Annotations of a document, right but for `other`."""
    ips = ",".join(entry["frontendIpAddress"] for entry in wire["publicIpAddresses"])
    annotations = {"public-ips": ips} if ips else {}
    document = json.dumps(wire, separators=(",", ":"))
    return {**annotations, "loadbalancer": document, "revision": revision(wire), "status": "ok", **other}


@pytest.fixture
def rules() -> Rules:
    """An agent started at 0 that had one answer, and served and annotated it at 1."""
    rules = Rules(Durations(stale_after=10, absent_after=5, write_splay=0.5))
    rules.started(0, file=None, node=None)
    rules.answered(1, DOCUMENT)
    see(rules, 1)
    rules.annotated(1, "uid", sight())
    return rules


def test_spellings() -> None:
    """Brackets, case, order and repetition do not make another document."""
    rule = {"frontendIpAddress": "[2001:DB8::1]", "protocol": "Tcp", "frontendPort": "80", "more": 1}
    same = {"protocol": "tcp", "frontendPort": 80, "frontendIpAddress": "2001:db8::1"}
    assert parsed({"inboundRules": [rule, rule]}) == parsed({"inboundRules": [same], "outboundRules": None})


WRONG: dict[str, Callable[[Rules], None]] = {
    "invented data": lambda rules: see(rules, 2, {**WIRE, "inboundRules": WIRE["outboundRules"]}),
    "wrong revision": lambda rules: see(rules, 2, revision="0" * 16),
    "ok with a reason": lambda rules: see(rules, 2, reason="unreachable"),
    "stale without one": lambda rules: see(rules, 2, status="stale", age="11"),
    "a reason unheard of": lambda rules: see(rules, 2, status="stale", reason="weather", age="11"),
    "fresh, but old": lambda rules: see(rules, 2, age="11"),
    "stale too early": lambda rules: see(rules, 2, status="stale", reason="unreachable", age="9"),
    "restored, but fresh": lambda rules: see(rules, 2, source="restored"),
    "time goes back": lambda rules: see(rules, 2, observed="2026-01-02T03:04:04Z"),
    "no-metadata with data": lambda rules: see(rules, 2, status="no-metadata", reason="no-metadata"),
    "a list is gone": lambda rules: see(rules, 2, LACKING),
    "nothing is served": lambda rules: rules.unavailable("starting"),
    "annotations are gone": lambda rules: rules.annotated(2, "uid", {}),
    "an annotated list is gone": lambda rules: rules.annotated(20, "uid", sight(LACKING)),
    "annotated revision": lambda rules: rules.annotated(2, "uid", sight(revision="0" * 16)),
    "annotated addresses": lambda rules: rules.annotated(2, "uid", {**sight(), "public-ips": "6.6.6.6"}),
    "annotated ok with a reason": lambda rules: rules.annotated(2, "uid", sight(reason="throttled")),
    "annotated control characters": lambda rules: rules.annotated(2, "uid", sight(status="\x1b")),
    "annotated invention": lambda rules: rules.annotated(
        2, "uid", sight({**WIRE, "inboundRules": WIRE["outboundRules"]})
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_violations(rules: Rules, wrong: Callable[[Rules], None]) -> None:
    """Whatever the rules forbid is a violation."""
    with pytest.raises(Violation):
        wrong(rules)


STALE = sight(status="stale", reason="throttled")


def test_splay(rules: Rules) -> None:
    """Two writes are apart by the splay; a look says no more than that there was one before it came back."""
    rules.annotated(1.1, "uid", STALE)
    rules.annotated(1.5, "uid", sight(), asked=1.4)
    rules.annotated(1.9, "uid", sight(), asked=1.7)
    rules.annotated(2.1, "uid", STALE)
    with pytest.raises(Violation, match=r"two writes within 0\.4"):
        rules.annotated(2.1001, "uid", sight())


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda rules: rules.started(1.15, file=DOCUMENT, node=DOCUMENT),
        lambda rules: rules.writes_are_late(until=1.3),
        lambda rules: rules.annotated(1.15, "another", STALE),
    ],
    ids=["a start", "late writes", "another Node"],
)
def test_splay_is_of_one_process_and_node(rules: Rules, meanwhile: Callable[[Rules], None]) -> None:
    """The splay says nothing of writes of two processes, or to two Nodes."""
    rules.annotated(1.1, "uid", STALE)
    meanwhile(rules)
    rules.annotated(1.2, "uid", sight())


def lacking_at(rules: Rules, *times: float) -> None:
    """Answers without outbound rules."""
    for at in times:
        rules.answered(at, parsed(LACKING))


def test_withdrawal(rules: Rules) -> None:
    """Three answers without a list over absent-after allow to withdraw it, from HTTP and from the Node."""
    lacking_at(rules, 2, 3, 7)
    see(rules, 7, LACKING)
    rules.annotated(8, "uid", sight(LACKING))


def test_withdrawal_on_the_node_first(rules: Rules) -> None:
    """The Node may show a withdrawal before an answer over HTTP was seen to."""
    lacking_at(rules, 16, 17, 22)
    rules.annotated(22, "uid", sight())
    rules.annotated(23, "uid", sight(LACKING))


@pytest.mark.parametrize("times", [(2, 7), (2, 3, 4)], ids=["two answers", "too soon"])
def test_early_withdrawal(rules: Rules, times: tuple[float, ...]) -> None:
    """Two answers, or a span shorter than absent-after, do not."""
    lacking_at(rules, *times)
    with pytest.raises(Violation, match="against the rule"):
        see(rules, 7, LACKING)


def test_list_in_between(rules: Rules) -> None:
    """An answer with the list begins the span anew."""
    lacking_at(rules, 2, 3)
    rules.answered(4, DOCUMENT)
    lacking_at(rules, 7, 8)
    with pytest.raises(Violation, match="against the rule"):
        see(rules, 8, LACKING)


MORE = {**WIRE, "outboundRules": [*WIRE["outboundRules"], WIRE["publicIpAddresses"][0]]}
MOVED = {**WIRE, "outboundRules": [WIRE["publicIpAddresses"][0]]}


@pytest.fixture
def grown(rules: Rules) -> Rules:
    """The same agent, whose outbound rules have become two."""
    rules.answered(2, parsed(MORE))
    see(rules, 2, MORE)
    return rules


def test_shrinking(grown: Rules) -> None:
    """Two answers in a row allow a list to lose an entry, one does not."""
    grown.answered(12, DOCUMENT)
    see(grown, 12, MORE)
    with pytest.raises(Violation, match="lost entries"):
        see(grown, 12, WIRE)
    grown.answered(22, DOCUMENT)
    see(grown, 22, WIRE)


def test_shrinking_after_what_nobody_saw(grown: Rules) -> None:
    """What was replaced between two looks may be replaced again with one answer."""
    grown.answered(12, parsed({**WIRE, "outboundRules": [{**MOVED["outboundRules"][0], "protocol": "x"}]}))
    grown.answered(13, DOCUMENT)
    see(grown, 13, WIRE)


def test_shrinking_by_what_is_restored(rules: Rules) -> None:
    """What an earlier run published may be shorter than what this one has seen."""
    rules.answered(2, parsed(MORE))
    rules.started(10, file=parsed(MORE), node=DOCUMENT)
    see(rules, 11, MORE)
    see(rules, 12, WIRE)


def test_restart_without_a_look_at_the_node(rules: Rules) -> None:
    """What an earlier process withdrew by the rule may be gone again once the Node can be read."""
    lacking_at(rules, 2, 5, 8)
    see(rules, 8, LACKING)
    rules.started(10, file=DOCUMENT, node=None, node_seen=False)
    see(rules, 11)
    see(rules, 12, LACKING)
    rules.started(20, file=DOCUMENT, node=DOCUMENT)
    with pytest.raises(Violation, match="against the rule"):
        see(rules, 21, LACKING)


def test_restart(rules: Rules) -> None:
    """A new process may not lose what it finds in its file, but may start from nothing without one."""
    rules.started(10, file=DOCUMENT, node=None)
    with pytest.raises(Violation):
        rules.unavailable("starting")
    with pytest.raises(Violation):
        see(rules, 11, LACKING)
    rules.started(20, file=None, node=None)
    rules.unavailable("starting")
    rules.answered(21, EMPTY)
    see(rules, 21, NOTHING, status="no-metadata", reason="no-metadata")


def test_another_node_and_tampering(rules: Rules) -> None:
    """A Node made anew has nothing at first, and what somebody else wrote is not the agent's fault."""
    rules.annotated(2, "another", {})
    rules.annotated(3, "another", sight())
    rules.tampered = True
    rules.annotated(4, "another", {"revision": "?"})
    rules.put_right()
    with pytest.raises(Violation):
        rules.annotated(5, "another", {})


def test_key_of_somebody_else(rules: Rules) -> None:
    """A forged key may stay for a while where the agent has no value for it, and nowhere else."""
    none = {**WIRE, "publicIpAddresses": []}
    rules.answered(2, parsed(none))
    rules.forged(2, {"public-ips": "6.6.6.6"})
    rules.put_right()
    for at in (3, 4, 9):
        rules.answered(at, parsed(none))
    rules.annotated(10, "uid", {**sight(none), "public-ips": "6.6.6.6"})
    with pytest.raises(Violation, match="public-ips"):
        rules.annotated(12, "uid", {**sight(none), "public-ips": "7.7.7.7"})
    with pytest.raises(Violation, match="public-ips"):
        rules.annotated(14, "uid", {**sight(), "public-ips": "6.6.6.6"})
