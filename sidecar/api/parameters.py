"""The parameters of requests: a table of names and what their values may be."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from sidecar.api.problems import MissingParameterError, ParameterError, ParameterValueError
from sidecar.core.addresses import is_port, parse_address
from sidecar.core.reply import KNOWN_VERSIONS

__all__ = [
    "API_VERSION",
    "API_VERSIONS",
    "NEWEST_VERSIONS",
    "PARAMETERS",
    "VERSION_PATTERN",
    "Format",
    "Scope",
    "read_parameters",
]

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


class Scope(StrEnum):
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
    "scope": Parameter(Scope, "'public' or 'private'"),
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
