"""Documents as the model of the rules compares them, whoever spelt them."""

import hashlib
import ipaddress
import json
from collections.abc import Mapping
from typing import Any

LISTS = ("publicIpAddresses", "inboundRules", "outboundRules")
_MEMBERS = {"frontendIpAddress", "privateIpAddress", "protocol", "frontendPort", "backendPort"}

Document = Mapping[str, frozenset[tuple[tuple[str, object], ...]]]
"""By list the set of entries, each in one spelling."""

EMPTY: Document = dict.fromkeys(LISTS, frozenset())


def parsed(wire: Mapping[str, Any]) -> Document:
    """A document in one spelling, from the wire of the metadata service or of the agent."""
    return {name: frozenset(_entry(entry) for entry in wire.get(name) or ()) for name in LISTS}


def _entry(entry: Mapping[str, Any]) -> tuple[tuple[str, object], ...]:
    return tuple(sorted((key, _spelt(key, entry[key])) for key in entry if key in _MEMBERS))


def _spelt(key: str, value: object) -> object:
    if key.endswith("IpAddress"):
        return str(ipaddress.ip_address(str(value).strip("[]")))
    return str(value).lower() if key == "protocol" else int(str(value))


def revision(wire: Mapping[str, Any]) -> str:
    """The revision that a document on the wire has to have."""
    canonical = json.dumps(wire, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
