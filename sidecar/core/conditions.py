"""The conditions of `wait`: data, a public IP address, egress addresses expected or observed."""

from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import ip_network

from sidecar.core.addresses import IPAddress, IPNetwork
from sidecar.core.egress import Egress, EgressBasis, EgressState, SharedEgress, within
from sidecar.core.state import State

_DATA = "data"
_PUBLIC_IP = "public-ip"
_EGRESS_IN = "egress-in="
_EGRESS_OBSERVED = "egress-observed"

_NO_METADATA = "the metadata service has no load balancer metadata for this machine"


class ConditionResult(Enum):
    """Whether a condition holds."""

    HELD = auto()
    NONE = auto()
    """The query succeeded, and what is waited for does not exist."""
    DIFFERS = auto()
    """Something else exists than what is waited for."""
    UNKNOWN = auto()
    """No answer yet."""


@dataclass(frozen=True, slots=True)
class WaitCondition:
    """What `wait` waits for."""

    text: str
    """As it was given."""
    networks: tuple[IPNetwork, ...] = ()
    """Of ``egress-in``: where every address that the node leaves from must be."""


def parse_condition(text: str) -> WaitCondition:
    """Read ``data``, ``public-ip``, ``egress-observed`` or ``egress-in=20.1.2.3,20.9.9.0/24``.

    Raises:
        ValueError: it is none of these; the text says what there is.
    """
    if text in (_DATA, _PUBLIC_IP, _EGRESS_OBSERVED):
        return WaitCondition(text)
    if not text.startswith(_EGRESS_IN):
        raise ValueError(
            f"{text!r} is none of data, public-ip, egress-observed, egress-in=ADDRESS,NETWORK,..."
        )
    networks = [ip_network(part.strip()) for part in text.removeprefix(_EGRESS_IN).split(",")]
    return WaitCondition(text, tuple(networks))


def judge(condition: WaitCondition, state: State) -> tuple[ConditionResult, str]:
    """Whether a condition holds, and why not in words."""
    if state.document is None:
        if state.failure is not None:
            return ConditionResult.UNKNOWN, f"{state.failure.reason}, {state.failure.detail}"
        if state.empty_answers:
            return ConditionResult.NONE, _NO_METADATA
        return ConditionResult.UNKNOWN, "there is no answer yet"
    if condition.text == _EGRESS_OBSERVED:
        return _judge_egress_observed(state.shared_egress)
    published = state.egress
    if condition.text.startswith(_EGRESS_IN) and published.paths:
        return _judge_egress_in(condition, published)
    if state.document.empty:
        return ConditionResult.NONE, _NO_METADATA
    if condition.text == _DATA:
        return ConditionResult.HELD, ""
    if condition.text != _PUBLIC_IP:
        why = "the metadata service tells no address that the node leaves from, and none is declared"
        return ConditionResult.NONE, why
    if state.document.public_ip_addresses:
        return ConditionResult.HELD, ""
    return ConditionResult.NONE, "the node has no public IP address"


def _judge_egress_in(condition: WaitCondition, published: Egress) -> tuple[ConditionResult, str]:
    # The addresses of a declared network that is within are within.
    others: list[IPAddress | IPNetwork] = [
        network
        for network in published.networks
        if not any(within(network, one) for one in condition.networks)
    ]
    others += [
        address
        for path in published.paths
        if path.basis is not EgressBasis.DECLARED
        for address in path.addresses
        if not any(address in network for network in condition.networks)
    ]
    if not others:
        return ConditionResult.HELD, ""
    return ConditionResult.DIFFERS, f"the node leaves from {', '.join(map(str, others))} as well"


def _judge_egress_observed(shared: SharedEgress) -> tuple[ConditionResult, str]:
    match shared.state:
        case EgressState.OFF:
            return ConditionResult.NONE, "the agent has no egress probe"
        case EgressState.INSIDE:
            return ConditionResult.UNKNOWN, "the egress probes are on this side of the address translation"
        case EgressState.UNANSWERED if not shared.observed:
            return ConditionResult.UNKNOWN, "no egress probe has answered"
    return ConditionResult.HELD, ""
