"""Reads the parameters of a query, and the headers ``Accept``, ``If-None-Match`` and ``Prefer``."""

import re
from collections.abc import Collection
from datetime import date
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl

from sidecar.api.problems import MissingParameterError, ParameterError, ParameterValueError
from sidecar.core.addresses import PRIVATE_NETWORKS, IPAddress, is_in, is_port, parse_address
from sidecar.core.reply import KNOWN_VERSIONS

API_VERSION = "api-version"

NEWEST_VERSIONS = tuple(sorted(KNOWN_VERSIONS, reverse=True)[:3])
"""What the metadata service names in its answers to a wrong version: its three newest, newest first."""

API_VERSIONS = frozenset((*KNOWN_VERSIONS, "2025-07-24"))
"""The API versions that are known, from the one that introduced load balancer metadata.

MicrosoftDocs/azure-compute-docs instance-metadata-service.md; the last one is used by
Azure/azure-container-networking cns/imds/client.go.
"""

VERSION_PATTERN = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
"""What an api-version looks like."""

_MAXIMUM_PARAMETERS = 32
_VERSION = re.compile(VERSION_PATTERN)
_PROTOCOL = re.compile(r"[a-z0-9]{1,16}")


class Format(StrEnum):
    """The two forms of a body."""

    JSON = "json"
    TEXT = "text"


class AddressScope(StrEnum):
    """Where an address can be reached from."""

    PUBLIC = "public"
    PRIVATE = "private"


ADDRESS_FILTERS = frozenset(("privateIp", "family", "scope"))
"""The filters of lists whose entries are pairs of addresses."""

RULE_FILTERS = ADDRESS_FILTERS | {"protocol", "frontendPort", "backendPort"}
"""The filters of lists made of inbound rules."""

_EXPECTED = {
    "privateIp": "an IP address",
    "family": "'ipv4' or 'ipv6'",
    "scope": "'public' or 'private'",
    "protocol": "a protocol, such as 'tcp'",
    "frontendPort": "a port from 0 to 65535",
    "backendPort": "a port from 0 to 65535",
    "port": "a port from 1 to 65535",
    "format": "'json' or 'text'",
    "node": "a node's name",
    API_VERSION: "a version that has load balancer metadata",
}
"""Every parameter of every path by its name in the query, and its values in words: see :func:`_value`."""


def read_parameters(
    query: str, *, accepted: Collection[str], required: Collection[str] = ()
) -> dict[str, Any]:
    """Read a query string.

    Args:
        query: As it came, percent-encoded, without the question mark.
        accepted: Names of the parameters that apply to the path.
        required: Those of them that must be there.

    Returns:
        The parsed values by name, of those that are in the query.

    Raises:
        ParameterError: a parameter is unknown, inapplicable or repeated.
        ParameterValueError: it does not take this value.
        MissingParameterError: a required one is missing.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAXIMUM_PARAMETERS)
    except ValueError:
        raise ParameterError(f"There are more than {_MAXIMUM_PARAMETERS} parameters.") from None
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name not in accepted:
            known = ", ".join(sorted(accepted))
            raise ParameterError(f"The parameter {name!r} does not apply here; those that do: {known}.")
        if name in values:
            raise ParameterError(f"The parameter {name!r} is given more than once.")
        try:
            values[name] = _value(name, text)
        except ValueError:
            raise ParameterValueError(name, text, expected=_EXPECTED[name]) from None
    for name in sorted(required):
        if name not in values:
            raise MissingParameterError(name)
    return values


def _value(name: str, text: str) -> object:
    """Read the value of a parameter.

    Raises:
        ValueError: the parameter does not take it.
    """
    match name:
        case "privateIp":
            return parse_address(text)
        case "family" if text in ("ipv4", "ipv6"):
            return int(text[-1])
        case "scope":
            return AddressScope(text)
        case "protocol" if text.isascii() and _PROTOCOL.fullmatch(text.lower()):
            return text.lower()
        case "frontendPort" | "backendPort" if is_port(text):
            return int(text)
        case "port" if is_port(text) and int(text) > 0:
            return int(text)
        case "format":
            return Format(text)
        case "node":
            return text
        # Any from the first one that has this endpoint: a client with a later version must not fail.
        case "api-version" if _VERSION.fullmatch(text) and text >= KNOWN_VERSIONS[0]:
            date.fromisoformat(text)
            return text
    raise ValueError(text)


def scope_of(address: IPAddress) -> AddressScope:
    """Where an address can be reached from.

    Not :attr:`ipaddress.IPv4Address.is_private`, which takes in documentation ranges and changed
    between Python versions.
    """
    return AddressScope.PRIVATE if is_in(address, PRIVATE_NETWORKS) else AddressScope.PUBLIC


_ETAG = re.compile(r'(?:W/)?("[^"]*")\s*(?:,|$)')
_WAIT = re.compile(r'\s*wait\s*=\s*("?)([0-9]+)\1\s*(?:;.*)?', re.IGNORECASE)
_LONGEST = 10**9
"""Seconds that stand for all longer waits: Python reads no integer of thousands of digits."""

_ZERO = re.compile(r"0(\.0{0,3})?")


def media_types(accept: str) -> frozenset[str]:
    """The media types that an ``Accept`` header names, in lower case, without those of weight 0."""
    named = set()
    for entry in accept.lower().split(","):
        name, _, parameters = entry.partition(";")
        pairs = [parameter.partition("=") for parameter in parameters.split(";")]
        refused = any(key.strip() == "q" and _ZERO.fullmatch(value.strip()) for key, _, value in pairs)
        if name.strip() and not refused:
            named.add(name.strip())
    return frozenset(named)


def etag_matches(if_none_match: str, etag: str) -> bool:
    """Whether ``If-None-Match`` names a strong ETag (with its quotes), by the weak comparison of RFC 9110.

    A value that is no list of ETags matches nothing.
    """
    if if_none_match in (etag, "*"):
        return True
    return etag in _ETAG.findall(if_none_match)


def wait_preference(prefer: str) -> int | None:
    """The seconds of the preference ``wait`` (RFC 7240) in a ``Prefer`` header, the first one if repeated.

    Other preferences are ignored.
    """
    found = (_WAIT.fullmatch(preference) for preference in prefer.split(","))
    digits = next((match[2].lstrip("0") or "0" for match in found if match is not None), None)
    if digits is None:
        return None
    return int(digits) if len(digits) <= 9 else _LONGEST
