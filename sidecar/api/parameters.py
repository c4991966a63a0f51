"""The parameters of requests: a table of names and what their values may be."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from sidecar.api.problems import MissingParameterError, ParameterError, ParameterValueError
from sidecar.core.addresses import PRIVATE_NETWORKS, IPAddress, is_port, parse_address
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
    """The two forms of an answer."""

    JSON = "json"
    TEXT = "text"


class AddressScope(StrEnum):
    """Where an address can be reached from."""

    PUBLIC = "public"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a parameter means."""

    parse: Callable[[str], object]
    """Raises ``ValueError`` for what the parameter does not take."""
    expected: str
    """What it takes, in words."""


def _family(text: str) -> int:
    return {"ipv4": 4, "ipv6": 6}[text] if text in ("ipv4", "ipv6") else _refuse()


def _protocol(text: str) -> str:
    return text.lower() if text.isascii() and _PROTOCOL.fullmatch(text.lower()) else _refuse()


def _port(text: str) -> int:
    return int(text) if is_port(text) else _refuse()


def _open_port(text: str) -> int:
    return _port(text) or _refuse()


def _api_version(text: str) -> str:
    """Any from the first that has this endpoint: a version of tomorrow must break no client."""
    if not _VERSION.fullmatch(text) or text < KNOWN_VERSIONS[0]:
        _refuse()
    date.fromisoformat(text)
    return text


def _refuse() -> NoReturn:
    raise ValueError


PARAMETERS = {
    "privateIp": Parameter(parse_address, "an IP address"),
    "family": Parameter(_family, "'ipv4' or 'ipv6'"),
    "scope": Parameter(AddressScope, "'public' or 'private'"),
    "protocol": Parameter(_protocol, "a protocol, such as 'tcp'"),
    "frontendPort": Parameter(_port, "a port from 0 to 65535"),
    "backendPort": Parameter(_port, "a port from 0 to 65535"),
    "port": Parameter(_open_port, "a port from 1 to 65535"),
    "format": Parameter(Format, "'json' or 'text'"),
    "node": Parameter(str, "a node's name"),
    API_VERSION: Parameter(_api_version, "a version that has load balancer metadata"),
}
"""Every parameter of every path, under its name in the query."""


def read_parameters(
    query: str, *, accepted: Collection[str], required: Collection[str] = ()
) -> dict[str, Any]:
    """Read a query string.

    Args:
        query: As it came, percent-encoded, without the question mark.
        accepted: Names from :data:`PARAMETERS` that apply to the path.
        required: Those of them that must be there.

    Returns:
        The parsed values by name; what is not in the query is not in it either.

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
            raise ParameterError(f"The parameter {name!r} stands there more than once.")
        values[name] = _parse(name, text)
    for name in required:
        if name not in values:
            raise MissingParameterError(name)
    return values


def _parse(name: str, text: str) -> object:
    parameter = PARAMETERS[name]
    try:
        return parameter.parse(text)
    except ValueError:
        raise ParameterValueError(name, text, expected=parameter.expected) from None


ADDRESS_FILTERS = frozenset(("privateIp", "family", "scope"))
"""The filters of lists whose entries are pairs of addresses."""

RULE_FILTERS = ADDRESS_FILTERS | {"protocol", "frontendPort", "backendPort"}
"""The filters of lists made of inbound rules."""


def scope_of(address: IPAddress) -> AddressScope:
    """Where an address can be reached from.

    Not :attr:`ipaddress.IPv4Address.is_private`, which takes in documentation ranges and changed
    between Python versions.
    """
    return (
        AddressScope.PRIVATE
        if any(address in network for network in PRIVATE_NETWORKS)
        else AddressScope.PUBLIC
    )


_ETAG = re.compile(r'(?:W/)?("[^"]*")\s*(?:,|$)')
_WAIT = re.compile(r'\s*wait\s*=\s*("?)([0-9]+)\1\s*(?:;.*)?', re.IGNORECASE)
_LONGEST = 10**9
"""Seconds that stand for any more."""

_ZERO = re.compile(r"0(\.0{0,3})?")


def media_types(accept: str) -> frozenset[str]:
    """The media types that an ``Accept`` header names, in lower case, without those of weight 0."""
    ranges = (entry.partition(";") for entry in accept.lower().split(","))
    return frozenset(
        name.strip() for name, _, parameters in ranges if name.strip() and not _refused(parameters)
    )


def _refused(parameters: str) -> bool:
    pairs = (parameter.partition("=") for parameter in parameters.split(";"))
    return any(name.strip() == "q" and _ZERO.fullmatch(value.strip()) for name, _, value in pairs)


def etag_matches(if_none_match: str, etag: str) -> bool:
    """Whether ``If-None-Match`` names a strong ETag (with its quotes), by the weak comparison of RFC 9110.

    What is not a list of ETags matches nothing.
    """
    if if_none_match in (etag, "*"):
        return True
    return etag in _ETAG.findall(if_none_match)


def wait_preference(prefer: str) -> int | None:
    """The seconds of the preference ``wait`` (RFC 7240) in a ``Prefer`` header, the first one if repeated.

    Preferences that are not understood count for nothing.
    """
    found = (_WAIT.fullmatch(preference) for preference in prefer.split(","))
    digits = next((match[2].lstrip("0") or "0" for match in found if match is not None), None)
    # Nobody waits for longer than that: the digits may be more than an integer may be read from.
    return None if digits is None else int(digits[:9]) if len(digits) <= 9 else _LONGEST
