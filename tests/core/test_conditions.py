"""What can be waited for, and how things stand with it."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

import pytest

from sidecar.core.conditions import ConditionResult, judge, parse_condition
from sidecar.core.document import EMPTY, Document
from sidecar.core.egress import EgressState, SharedEgress, declared_networks
from sidecar.core.outcome import NONE, Outcome, Reason
from sidecar.core.state import State, observe
from tests.core.examples import FULL, answer, at, document, failure, inbound, outbound, public
from tests.support.states import POLICY

INBOUND_ONLY = document(inbound=inbound("20.20.20.20"))
OUTBOUND_ONLY = document(out=outbound("52.1.1.1"))
DUAL_STACK = Document.of(public_ip_addresses=[public("20.1.2.3"), public("2001:db8::7", "fd00::4")])


def state(*outcomes: Outcome) -> State:
    """The state after some attempts."""
    known = State(started=at(0))
    for outcome in outcomes:
        known = observe(known, outcome, at(0), POLICY)
    return known


def verdict(condition: str, *outcomes: Outcome) -> ConditionResult:
    """How things stand with a condition after some attempts."""
    return judge(parse_condition(condition), state(*outcomes))[0]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (FULL, (ConditionResult.HELD, ConditionResult.HELD, ConditionResult.HELD)),
        (DUAL_STACK, (ConditionResult.HELD, ConditionResult.HELD, ConditionResult.DIFFERS)),
        (INBOUND_ONLY, (ConditionResult.HELD, ConditionResult.NONE, ConditionResult.NONE)),
        (OUTBOUND_ONLY, (ConditionResult.HELD, ConditionResult.NONE, ConditionResult.DIFFERS)),
        (
            document(public=public("20.1.2.4")),
            (ConditionResult.HELD, ConditionResult.HELD, ConditionResult.DIFFERS),
        ),
    ],
    ids=["all", "dual stack", "inbound only", "outbound only", "other address"],
)
def test_data(known: Document, expected: tuple[ConditionResult, ...]) -> None:
    """Data are anything, a public IP is one of the node's own, egress is where the node leaves from."""
    conditions = ("data", "public-ip", "egress-in=20.1.2.3,10.0.0.0/8")
    assert tuple(verdict(condition, answer(known)) for condition in conditions) == expected


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ("20.1.2.3,2001:db8::7", ConditionResult.HELD),
        ("20.1.2.0/24, 2001:db8::/32", ConditionResult.HELD),
        ("0.0.0.0/0,::/0", ConditionResult.HELD),
        ("0.0.0.0/0", ConditionResult.DIFFERS),
        ("2001:db8::7", ConditionResult.DIFFERS),
        ("20.1.2.2,20.1.2.4", ConditionResult.DIFFERS),
    ],
)
def test_egress(networks: str, expected: ConditionResult) -> None:
    """Every address that the node leaves from must be in one of the networks, of either family."""
    assert verdict(f"egress-in={networks}", answer(DUAL_STACK)) is expected


def test_difference_is_named() -> None:
    """The addresses that nobody expected are named."""
    _, why = judge(parse_condition("egress-in=20.1.2.3"), state(answer(DUAL_STACK)))
    assert why == "the node leaves from 2001:db8::7 as well"


@pytest.mark.parametrize("condition", ["data", "public-ip", "egress-in=20.1.2.3"])
class TestWithoutData:
    """What holds of every condition."""

    def test_before_an_answer(self, condition: str) -> None:
        """Before the first attempt nothing is known."""
        assert verdict(condition) is ConditionResult.UNKNOWN

    def test_failures(self, condition: str) -> None:
        """Why nothing is known is said as the last attempt had it."""
        known = state(failure(Reason.THROTTLED), failure(Reason.UNREACHABLE))
        expected = (ConditionResult.UNKNOWN, "unreachable, as scripted")
        assert judge(parse_condition(condition), known) == expected

    @pytest.mark.parametrize("times", [1, 3])
    @pytest.mark.parametrize("none", [NONE, answer(EMPTY)], ids=["404", "empty"])
    def test_none(self, condition: str, none: Outcome, times: int) -> None:
        """The answer "there is none" is one from the first time on."""
        assert verdict(condition, *[none] * times) is ConditionResult.NONE

    def test_failure_after_data(self, condition: str) -> None:
        """A failure takes nothing back."""
        assert verdict(condition, answer(FULL), failure()) is ConditionResult.HELD


def declaring(known: Document, *networks: str) -> State:
    """The state of an agent with this document, whose operator declared these networks."""
    return replace(state(answer(known)), document=known, declared=declared_networks(networks))


@pytest.mark.parametrize(
    ("known", "networks", "expected", "why"),
    [
        (DUAL_STACK, ["20.9.9.0/30"], "20.9.9.0/24,2001:db8::7", ""),
        (DUAL_STACK, ["20.9.9.0/24"], "20.9.9.0/24,2001:db8::7", ""),
        (DUAL_STACK, ["20.9.9.0/24"], "20.9.9.0/25,2001:db8::7", "20.9.9.0/24"),
        (DUAL_STACK, ["20.9.9.0/30"], "20.9.9.0,20.9.9.1,20.9.9.2,20.9.9.3,2001:db8::7", "20.9.9.0/30"),
        (DUAL_STACK, ["20.9.9.9"], "20.9.9.9", "2001:db8::7"),
        (DUAL_STACK, ["20.9.9.9", "20.8.8.8"], "2001:db8::/32", "20.8.8.8/32, 20.9.9.9/32"),
        (EMPTY, ["20.9.9.0/24"], "20.9.0.0/16", ""),
        (EMPTY, ["20.9.9.0/24"], "20.8.0.0/16", "20.9.9.0/24"),
        (INBOUND_ONLY, ["20.9.9.9"], "20.9.9.9", ""),
    ],
)
def test_declared_egress(known: Document, networks: Sequence[str], expected: str, why: str) -> None:
    """Every declared network must be within one that is expected, as must what is configured beside it."""
    agent = declaring(known, *networks)
    said = judge(parse_condition(f"egress-in={expected}"), agent)
    if why:
        assert said == (ConditionResult.DIFFERS, f"the node leaves from {why} as well")
    else:
        assert said == (ConditionResult.HELD, "")


@pytest.mark.parametrize("known", [EMPTY, DUAL_STACK, INBOUND_ONLY], ids=["none", "data", "inbound only"])
@pytest.mark.parametrize(
    ("observed", "word", "expected", "why"),
    [
        ([], EgressState.OFF, ConditionResult.NONE, "the agent has no egress probe"),
        ([], EgressState.UNANSWERED, ConditionResult.UNKNOWN, "no egress probe has answered"),
        ([], EgressState.INSIDE, ConditionResult.UNKNOWN, "this side of the address translation"),
        (["20.1.2.3"], EgressState.INSIDE, ConditionResult.UNKNOWN, "this side of the address translation"),
        (["20.1.2.3"], EgressState.UNANSWERED, ConditionResult.HELD, ""),
        (["20.1.2.3"], EgressState.AGREES, ConditionResult.HELD, ""),
        (["20.7.7.7"], EgressState.UNLISTED, ConditionResult.HELD, ""),
    ],
)
def test_egress_observed(
    known: Document, observed: Sequence[str], word: EgressState, expected: ConditionResult, why: str
) -> None:
    """Observed is any address from outside, whatever it compares to; without a probe there is none."""
    told = SharedEgress((), tuple(map(ip_address, observed)), word)
    said, reason = judge(
        parse_condition("egress-observed"), replace(state(answer(known)), document=known, told_egress=told)
    )
    assert said is expected
    assert why in reason


def test_text_is_kept() -> None:
    """A condition is called what it was given as."""
    condition = parse_condition("egress-in=20.1.2.3")
    assert condition.text == "egress-in=20.1.2.3"
    assert condition != replace(condition, networks=())


@pytest.mark.parametrize("text", ["", "Data", "public-ips", "egress-in", "egress-out=20.1.2.3"])
def test_other_conditions(text: str) -> None:
    """There are no others, and the error names those there are."""
    with pytest.raises(ValueError, match="none of data, public-ip, egress-observed, egress-in="):
        parse_condition(text)


@pytest.mark.parametrize("networks", ["", "a", "20.1.2.3/24", ",", "20.1.2.3,"])
def test_other_networks(networks: str) -> None:
    """Networks are written with their first address, and none is left out."""
    with pytest.raises(ValueError, match=r"host bits set|does not appear to be"):
        parse_condition(f"egress-in={networks}")
