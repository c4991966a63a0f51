"""Bytes of a load balancer document to a value; the bytes are never trusted.

A wrong entry is dropped and reported, and never spoils the rest. What makes a whole document
malformed is told apart from what makes a list empty, since empty means "withdrawn" in the end.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, NoReturn, TypeVar

from pydantic_core import from_json

from sidecar.core.addresses import IPAddress, parse_address
from sidecar.core.document import Document, InboundRule, OutboundRule, PublicIPAddress
from sidecar.errors import Error

__all__ = [
    "DroppedEntry",
    "MalformedError",
    "ParsedDocument",
    "parse_canonical",
    "parse_document",
    "parse_json",
    "parse_response",
]

_Entry = TypeVar("_Entry")

_PROTOCOL = re.compile(r"[a-z0-9]{1,16}")
_DIGITS = re.compile(r"[0-9]{1,5}")
_MOST_VALUES = 250_000
"""Commas and opening brackets of a body that is parsed: more than a hundred times those of 250 rules.

Parsed JSON of the worst kind takes a hundred times its bytes; so limited, it takes some 30 MiB, which
an agent has.
"""
_MOST_ENTRIES = 10_000
"""Entries of one list that are looked at: forty times the rules of a load balancer.

Each wrong one costs an exception and a place in memory; a hostile answer could hold half a million.
"""
_SHOWN_LENGTH = 200
"""How much of a dropped entry is kept for the log, in characters."""


class MalformedError(Error):
    """The bytes are not a load balancer document."""


@dataclass(frozen=True, slots=True)
class DroppedEntry:
    """What was left out of a list: a wrong entry, or all those beyond the most that are looked at."""

    list_name: str
    """The list as the metadata service calls it."""
    cause: str
    """The member that is wrong, ``entry`` when it is not an object at all, or ``too-many``."""
    shown: str
    """The beginning of the entry, safe to print."""
    count: int = 1
    """How many entries: more than one where none of them was looked at."""


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document, and what had to be left out of it."""

    document: Document
    dropped: tuple[DroppedEntry, ...] = ()


class _WrongEntryError(Error):
    """An entry is unusable; the text names the member."""


def parse_response(body: bytes) -> ParsedDocument:
    """Parse the body of a 200 answer of the metadata service, ``{"loadbalancer": {...}}``.

    Raises:
        MalformedError: not JSON, or not of that shape.
    """
    root = parse_json(body)
    if not isinstance(root, dict):
        raise MalformedError("the answer is not a JSON object")
    return parse_document(root.get("loadbalancer"))


def parse_canonical(text: bytes) -> ParsedDocument:
    """Parse a document without the outer key, as annotations carry it.

    Raises:
        MalformedError: not JSON, or not of that shape.
    """
    return parse_document(parse_json(text))


def parse_json(body: bytes) -> object:
    """Parse JSON of any shape.

    Raises:
        MalformedError: it is not JSON.
    """
    if not body.strip():
        raise MalformedError("the body is empty")
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise MalformedError(f"the body has more than {_MOST_VALUES} values")
    try:
        # Unlike json.loads it reports too much depth and too many digits as a ValueError.
        return from_json(body.removeprefix(b"\xef\xbb\xbf"), allow_inf_nan=False)
    except ValueError as error:
        raise MalformedError(f"the body is not JSON ({error})") from error


def parse_document(value: object) -> ParsedDocument:
    """Read a document out of parsed JSON, without the outer key.

    Raises:
        MalformedError: it is not of that shape.
    """
    if not isinstance(value, dict):
        raise MalformedError("'loadbalancer' is not an object")
    dropped: list[DroppedEntry] = []
    return ParsedDocument(
        document=Document.of(
            public_ip_addresses=_entries(value, "publicIpAddresses", _public_ip_address, dropped=dropped),
            inbound_rules=_entries(value, "inboundRules", _inbound_rule, dropped=dropped),
            outbound_rules=_entries(value, "outboundRules", _outbound_rule, dropped=dropped),
        ),
        dropped=tuple(dropped),
    )


def _entries(
    parent: dict[str, Any],
    name: str,
    parse: Callable[[dict[str, Any]], _Entry],
    *,
    dropped: list[DroppedEntry],
) -> list[_Entry]:
    """Read one list; missing and null are an empty list, wrong entries go to ``dropped``."""
    values = parent.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        raise MalformedError(f"{name!r} is not a list")
    entries: list[_Entry] = []
    for value in islice(values, _MOST_ENTRIES):
        try:
            entries.append(parse(value if isinstance(value, dict) else _wrong("entry")))
        except _WrongEntryError as error:
            dropped.append(DroppedEntry(list_name=name, cause=str(error), shown=_shown(value)))
    if values and not entries:
        raise MalformedError(f"no entry of {name!r} is usable, for example {dropped[-1].shown}")
    rest = len(values) - _MOST_ENTRIES
    if rest > 0:
        shown = _shown(values[_MOST_ENTRIES])
        dropped.append(DroppedEntry(list_name=name, cause="too-many", shown=shown, count=rest))
    return entries


def _shown(value: object) -> str:
    return ascii(value)[:_SHOWN_LENGTH]


def _public_ip_address(entry: dict[str, Any]) -> PublicIPAddress:
    return PublicIPAddress(_address(entry, "frontendIpAddress"), _address(entry, "privateIpAddress"))


def _outbound_rule(entry: dict[str, Any]) -> OutboundRule:
    return OutboundRule(_address(entry, "frontendIpAddress"), _address(entry, "privateIpAddress"))


def _inbound_rule(entry: dict[str, Any]) -> InboundRule:
    return InboundRule(
        frontend_ip=_address(entry, "frontendIpAddress"),
        protocol=_protocol(entry, "protocol"),
        frontend_port=_port(entry, "frontendPort"),
        backend_port=_port(entry, "backendPort"),
        private_ip=_address(entry, "privateIpAddress"),
    )


def _wrong(member: str) -> NoReturn:
    raise _WrongEntryError(member)


def _address(entry: dict[str, Any], member: str) -> IPAddress:
    try:
        return parse_address(entry.get(member))
    except ValueError:
        _wrong(member)


def _protocol(entry: dict[str, Any], member: str) -> str:
    value = entry.get(member)
    # ASCII first: lower-casing turns some other letters into ASCII ones.
    if isinstance(value, str) and value.isascii() and _PROTOCOL.fullmatch(value.lower()):
        return value.lower()
    _wrong(member)


def _port(entry: dict[str, Any], member: str) -> int:
    """Read a port: a whole number 0 to 65535, or its digits as text."""
    value = entry.get(member)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535:
        return value
    _wrong(member)
