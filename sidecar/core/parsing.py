"""Parses bodies into JSON, and JSON into a load balancer document; neither is trusted.

Every body of every status is parsed here and nowhere else, by :func:`parse_json` or :func:`error_object`.
A wrong entry is dropped and reported, and the rest is kept. A malformed document is distinguished from an
empty list, since a list that stays empty is withdrawn.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, NoReturn, TypeVar

from pydantic_core import from_json

from sidecar.core.addresses import IPAddress, is_assignable, parse_address
from sidecar.core.document import ALL_PROTOCOLS, Document, InboundRule, OutboundRule, PublicIPAddress
from sidecar.errors import Error

_Entry = TypeVar("_Entry")

_LONGEST_PROTOCOL = 16
_PROTOCOL = re.compile(r"[a-z0-9]+")
_DIGITS = re.compile(r"[0-9]{1,5}")
_MOST_VALUES = 250_000
"""Commas and opening brackets of a body that is parsed: more than a hundred times those of 250 rules.

Parsed JSON of the worst kind takes a hundred times its bytes; so limited, it takes some 30 MiB, which
an agent has.
"""
ERROR_LIMIT = 64 * 1024
"""Bytes that are read of a body that is not the wanted document: no error has more to say."""

_MARK = b"\xef\xbb\xbf"
"""A byte order mark, which RFC 8259 lets a reader pass over."""
_MOST_ENTRIES = 10_000
"""Entries of one list that are looked at: forty times the rules of a load balancer.

Each wrong one costs an exception and a place in memory; a hostile answer could hold half a million.
"""
_SHOWN_LENGTH = 200
"""How much of a dropped entry is kept for the log, in characters."""
_SHOWN_ITEMS = 10
"""How many members of a dropped entry are looked at for that."""


class MalformedError(Error, ValueError):
    """The bytes are not JSON, or not of the expected shape."""


@dataclass(frozen=True, slots=True)
class DroppedEntry:
    """What was left out of a list: a wrong entry, or all entries beyond the maximum."""

    list_name: str
    """The list as the metadata service calls it."""
    cause: str
    """The member that is wrong, ``entry`` when it is not an object at all, or ``too-many``."""
    shown: str
    """The beginning of the entry, safe to print."""
    count: int = 1
    """How many entries: more than one only for ``too-many``."""


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


def parse_json(body: bytes, *, most: int = _MOST_VALUES) -> object:
    """Parse JSON of any shape.

    Args:
        body: As it came.
        most: Commas and opening brackets that it may have, those in texts included.

    Raises:
        MalformedError: it is not JSON, or has more.
    """
    if not body.strip():
        raise MalformedError("the body is empty")
    if sum(map(body.count, (b",", b"[", b"{"))) > most:
        raise MalformedError(f"the body has more than {most} values")
    try:
        # Unlike json.loads it reports too much depth and too many digits as a ValueError.
        return from_json(without_mark(body), allow_inf_nan=False)
    except ValueError as error:
        raise MalformedError(f"the body is not JSON ({error})") from error


def error_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body of an error is; empty where it is none, or longer than ``ERROR_LIMIT``."""
    if len(body) > ERROR_LIMIT:
        return {}
    try:
        value = parse_json(body)
    except MalformedError:
        return {}
    return value if isinstance(value, dict) else {}


def without_mark(body: bytes) -> bytes:
    """A body without the byte order mark that it may begin with."""
    return body.removeprefix(_MARK)


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
            public_ip_addresses=_entries(
                value, "publicIpAddresses", lambda entry: PublicIPAddress(*_pair(entry)), dropped=dropped
            ),
            inbound_rules=_entries(value, "inboundRules", _inbound_rule, dropped=dropped),
            outbound_rules=_entries(
                value, "outboundRules", lambda entry: OutboundRule(*_pair(entry)), dropped=dropped
            ),
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
    """Read one list; missing and null are an empty list, wrong entries go to ``dropped``.

    An entry whose frontend is null or empty is none at all: that is how the service writes that there is
    no address, in ``/metadata/instance`` too.
    """
    values = parent.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        raise MalformedError(f"{name!r} is not a list")
    entries: list[_Entry] = []
    present = [
        value
        for value in islice(values, _MOST_ENTRIES)
        if not (isinstance(value, dict) and value.get("frontendIpAddress", ...) in (None, ""))
    ]
    for value in present:
        try:
            entries.append(parse(value if isinstance(value, dict) else _wrong("entry")))
        except _WrongEntryError as error:
            dropped.append(DroppedEntry(list_name=name, cause=str(error), shown=_shown(value)))
    rest = len(values) - _MOST_ENTRIES
    if not entries and (present or rest > 0):
        raise MalformedError(f"no entry of {name!r} is usable, for example {_shown((present or values)[-1])}")
    if rest > 0:
        shown = _shown(values[_MOST_ENTRIES])
        dropped.append(DroppedEntry(list_name=name, cause="too-many", shown=shown, count=rest))
    return entries


def _shown(value: object) -> str:
    return ascii(_beginning(value))[:_SHOWN_LENGTH]


def _beginning(value: object, depth: int = 2) -> object:
    """As much of a value as may be shown: one text of it can be as long as a whole body."""
    if not value:
        return value
    if isinstance(value, str):
        return value[:_SHOWN_LENGTH]
    if isinstance(value, dict):
        items = islice(value.items(), _SHOWN_ITEMS if depth else 0)
        return {name[:_SHOWN_LENGTH]: item and _beginning(item, depth - 1) for name, item in items}
    if isinstance(value, list):
        return [item and _beginning(item, depth - 1) for item in value[: _SHOWN_ITEMS if depth else 0]]
    return value


def _inbound_rule(entry: dict[str, Any]) -> InboundRule:
    frontend, protocol = _address(entry, "frontendIpAddress"), entry.get("protocol")
    # Its length first, since a text can be as long as a body; then ASCII: lower-casing turns some other
    # letters into ASCII ones.
    if (
        not isinstance(protocol, str)
        or len(protocol) > _LONGEST_PROTOCOL
        or not protocol.isascii()
        or not _PROTOCOL.fullmatch(protocol := protocol.lower())
    ):
        _wrong("protocol")
    # HA ports: without ports it is for all of them, as with ports 0.
    optional = protocol == ALL_PROTOCOLS
    return InboundRule(
        frontend_ip=frontend,
        protocol=protocol,
        frontend_port=_port(entry, "frontendPort", optional=optional),
        backend_port=_port(entry, "backendPort", optional=optional),
        private_ip=_address(entry, "privateIpAddress"),
    )


def _pair(entry: dict[str, Any]) -> tuple[IPAddress, IPAddress]:
    return _address(entry, "frontendIpAddress"), _address(entry, "privateIpAddress")


def _wrong(member: str) -> NoReturn:
    raise _WrongEntryError(member)


def _address(entry: dict[str, Any], member: str) -> IPAddress:
    try:
        address = parse_address(entry.get(member))
    except ValueError:
        _wrong(member)
    return address if is_assignable(address) else _wrong(member)


def _port(entry: dict[str, Any], member: str, *, optional: bool) -> int:
    """Read a port: a whole number 0 to 65535, or its digits as text; 0 for an ``optional`` one left out."""
    value = entry.get(member)
    if optional and value in (None, ""):
        return 0
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535:
        return value
    _wrong(member)
