"""A Node's annotations read back.

Everybody who may patch Nodes can write them: a value that no agent would write is not shown but
reported as unreadable, and a list that the budget left out is distinguished from an empty one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

from sidecar.core.addresses import IPAddress, IPNetwork, is_in, parse_address
from sidecar.core.annotations import KEYS, Layout
from sidecar.core.changes import Change, parse_changes
from sidecar.core.document import REVISION
from sidecar.core.egress import EgressBasis, EgressState, declared_networks
from sidecar.core.instant import parse_rfc3339
from sidecar.core.outcome import Reason, Status

_Item = TypeVar("_Item")
_Word = TypeVar("_Word", bound=StrEnum)

_OMITTED = re.compile(r"([a-z-]{1,20})=([0-9]{1,9})")
_LISTS = (
    "public-ips",
    "inbound-ips",
    "outbound-ips",
    "egress-ips",
    "egress-networks",
    "egress-observed",
    "inbound",
)
_ENDPOINT = re.compile(r"([a-z0-9]{1,16})/(?:\[([0-9a-f:.]+)\]|([0-9.]+)):([0-9]{1,5})")

# Most nodes of a cluster have the same values, which are parsed and kept once.
_SHARED = 4096


@dataclass(frozen=True, slots=True, order=True)
class PublishedFrontend:
    """A frontend: what ``inbound`` lists."""

    version: int
    """4 or 6; with the next two, the order that people expect."""
    number: int
    port: int
    protocol: str
    text: str
    """``tcp/20.20.20.20:443``."""
    address: str
    """Without brackets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What an agent last wrote to its Node, as far as it can be read."""

    status: Status | None = None
    """``None``: absent, or not one of our words."""
    reason: Reason | None = None
    revision: str = ""
    """Empty when there never was an answer."""
    changed_at: datetime | None = None
    observed_at: datetime | None = None
    public_ip: IPAddress | None = None
    public_ips: tuple[IPAddress, ...] | None = ()
    """``None``, as for the lists below: omitted or unreadable."""
    inbound_ips: tuple[IPAddress, ...] | None = ()
    outbound_ips: tuple[IPAddress, ...] | None = ()
    egress_ips: tuple[IPAddress, ...] | None = ()
    egress_networks: tuple[IPNetwork, ...] | None = ()
    egress_observed: tuple[IPAddress, ...] | None = ()
    egress_state: EgressState | None = None
    """``None``: no probes, or unreadable."""
    egress_basis: EgressBasis | None = None
    inbound: tuple[PublishedFrontend, ...] | None = ()
    changes: tuple[Change, ...] = ()
    omitted: tuple[str, ...] = ()
    """Keys that the budget left out."""
    unreadable: tuple[str, ...] = ()
    """Keys whose values no agent would write."""

    @property
    def unlisted(self) -> tuple[IPAddress, ...]:
        """Addresses that probes saw and that are neither declared nor configured, as far as is known."""
        ips, networks = self.egress_ips, self.egress_networks
        if ips is None or networks is None:
            return ()
        return tuple(one for one in self.egress_observed or () if one not in ips and not is_in(one, networks))

    @property
    def known(self) -> bool:
        """Whether there are data, of any age."""
        return bool(self.revision) and self.observed_at is not None


def read(annotations: Mapping[str, str], *, layout: Layout) -> Published | None:
    """Parse the annotations under the layout's prefix; ``None`` if there are none."""
    values = {name: value for name in KEYS if (value := annotations.get(layout.key(name)))}
    if not values:
        return None
    matches = (_OMITTED.fullmatch(part) for part in values.get("omitted", "").split(","))
    omitted = [match[1] for match in matches if match is not None and match[1] in KEYS]
    parsed = {name: parse(values[name]) for name, parse in _PARSERS.items() if name in values}
    lists = {name: parsed.get(name, None if name in omitted else ()) for name in _LISTS}
    basis = parsed.get("egress-basis")
    if "egress-ips" in omitted:
        # It repeats a list that the budget leaves out later.
        repeated = {EgressBasis.INSTANCE_IP: "public-ips", EgressBasis.OUTBOUND_RULE: "outbound-ips"}
        lists["egress-ips"] = lists[repeated[basis]] if basis in repeated else None
    return Published(
        status=parsed.get("status"),
        reason=parsed.get("reason"),
        revision=parsed.get("revision") or "",
        changed_at=parsed.get("changed-at"),
        observed_at=parsed.get("observed-at"),
        public_ip=next(iter(parsed.get("public-ip") or ()), None),
        public_ips=lists["public-ips"],
        inbound_ips=lists["inbound-ips"],
        outbound_ips=lists["outbound-ips"],
        egress_ips=lists["egress-ips"],
        egress_networks=lists["egress-networks"],
        egress_observed=lists["egress-observed"],
        egress_state=parsed.get("egress-state"),
        egress_basis=basis,
        inbound=lists["inbound"],
        changes=_changes(values.get("last-changes", "")),
        omitted=tuple(omitted),
        unreadable=tuple(name for name, value in parsed.items() if value is None),
    )


@lru_cache(_SHARED)
def parse_endpoint(text: str) -> PublishedFrontend:
    """Read an item of ``inbound``.

    Raises:
        ValueError: it is none.
    """
    match = _ENDPOINT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:80]!r} is no frontend such as tcp/20.20.20.20:443")
    protocol, six, four, port = match.groups()
    address = parse_address(f"[{six}]" if six else four)
    if int(port) > 65535:
        raise ValueError(f"{port} is no port")
    return PublishedFrontend(
        version=address.version,
        number=int(address),
        port=int(port),
        protocol=protocol,
        text=text,
        address=str(address),
    )


_changes = lru_cache(_SHARED)(parse_changes)


def _list(parse: Callable[[str], _Item]) -> Callable[[str], tuple[_Item, ...] | None]:
    """A parser of items joined by commas, with a cache."""

    @lru_cache(_SHARED)
    def read_list(text: str) -> tuple[_Item, ...] | None:
        try:
            return tuple(map(parse, text.split(",")))
        except ValueError:
            return None

    return read_list


_addresses = _list(parse_address)


@lru_cache(_SHARED)
def _networks(text: str) -> tuple[IPNetwork, ...] | None:
    try:
        return declared_networks(text.split(","))
    except ValueError:
        return None


def _word(words: type[_Word]) -> Callable[[str], _Word | None]:
    return lambda text: words(text) if text in set(words) else None


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "status": _word(Status),
    "reason": _word(Reason),
    "revision": lambda text: text if REVISION.fullmatch(text) else None,
    "changed-at": parse_rfc3339,
    "observed-at": parse_rfc3339,
    "public-ip": _addresses,
    "public-ipv6": _addresses,
    "public-ips": _addresses,
    "inbound-ips": _addresses,
    "outbound-ips": _addresses,
    "egress-ips": _addresses,
    "egress-networks": _networks,
    "egress-observed": _addresses,
    "egress-state": _word(EgressState),
    "egress-basis": _word(EgressBasis),
    "inbound": _list(parse_endpoint),
}
"""The parser of each value; gives ``None`` for one that no agent would write."""
