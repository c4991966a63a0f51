"""The conditions of `wait`: data, a public IP address, or egress addresses within expected networks."""

from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv4Network, IPv6Network, ip_network

from sidecar.core import views
from sidecar.core.state import State

_DATA = "data"
_PUBLIC_IP = "public-ip"
_EGRESS_IN = "egress-in="

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
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Of ``egress-in``: where every address that the node leaves from must be."""


def parse_condition(text: str) -> WaitCondition:
    """Read ``data``, ``public-ip`` or ``egress-in=20.1.2.3,20.9.9.0/24``.

    Raises:
        ValueError: it is none of these; the text says what there is.
    """
    if text in (_DATA, _PUBLIC_IP):
        return WaitCondition(text)
    if not text.startswith(_EGRESS_IN):
        raise ValueError(f"{text!r} is neither data nor public-ip nor egress-in=ADDRESS,NETWORK,...")
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
    if state.document.empty:
        return ConditionResult.NONE, _NO_METADATA
    if condition.text == _DATA:
        return ConditionResult.HELD, ""
    if condition.text == _PUBLIC_IP:
        if state.document.public_ip_addresses:
            return ConditionResult.HELD, ""
        return ConditionResult.NONE, "the node has no public IP address"
    addresses = views.egress_ips(state.document)
    if not addresses:
        return ConditionResult.NONE, "the metadata service tells no address that the node leaves from"
    others = [address for address in addresses if not any(address in net for net in condition.networks)]
    if not others:
        return ConditionResult.HELD, ""
    return ConditionResult.DIFFERS, f"the node leaves from {', '.join(map(str, others))} as well"
