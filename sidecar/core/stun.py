"""The part of STUN that a probe needs: a Binding request, and the address that its response holds.

Source of every fact: RFC 8489, whose sections are named.
"""

import struct
from ipaddress import IPv4Address, IPv6Address

from sidecar.core.addresses import IPAddress
from sidecar.core.probes import MalformedAnswerError, ProbeRejectedError, is_possible
from sidecar.core.reply import printable

TRANSACTION_ID_LENGTH = 12
"""Bytes: 96 bits, chosen at random for each request (section 5)."""

HEADER_LENGTH = 20
"""Bytes."""

LONGEST_MESSAGE = 512
"""Bytes of a response: one with an address of IPv6 and all that servers add has some 150."""

_HEADER = struct.Struct("!HHI12s")
"""Class and method, length without the header, magic cookie, transaction ID (section 5)."""

_COOKIE = 0x2112A442
_REQUEST, _SUCCESS, _ERROR = 0x0001, 0x0101, 0x0111
"""Classes of the method Binding, with the two leading bits of zero (sections 3 and 5)."""

_ERROR_CODE = 0x0009
_XOR_MAPPED_ADDRESS = 0x0020
_UNDERSTOOD = {
    *(0x0001, 0x0006, 0x0008, _ERROR_CODE, 0x000A, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E),
    _XOR_MAPPED_ADDRESS,
    # SOURCE-ADDRESS and CHANGED-ADDRESS of RFC 3489: servers that also serve its clients send them.
    *(0x0004, 0x0005),
}
"""Attributes that a response may hold although a client that does not know them must discard it (18.3)."""

_ADDRESSES: dict[tuple[int, int], type[IPv4Address] | type[IPv6Address]] = {
    (0x01, 8): IPv4Address,
    (0x02, 20): IPv6Address,
}
"""By family and length of the attribute's value (section 14.1)."""


def binding_request(transaction_id: bytes) -> bytes:
    """A Binding request without attributes: 20 bytes."""
    return _HEADER.pack(_REQUEST, 0, _COOKIE, transaction_id)


def response_length(header: bytes, *, transaction_id: bytes) -> int:
    """The bytes of a whole response that begins with this header: over TCP nothing else says its end.

    Args:
        header: Its first 20 bytes.
        transaction_id: Of the request.

    Raises:
        MalformedAnswerError: they do not begin a response to this request, or one of more than 512 bytes.
    """
    kind: int
    length: int
    kind, length, cookie, answered = _HEADER.unpack(header)
    if kind not in {_SUCCESS, _ERROR} or cookie != _COOKIE:
        raise MalformedAnswerError("no STUN response to a Binding request")
    if answered != transaction_id:
        raise MalformedAnswerError("a response to another request")
    if length % 4 or HEADER_LENGTH + length > LONGEST_MESSAGE:
        raise MalformedAnswerError(f"a STUN response of {HEADER_LENGTH + length} bytes")
    return HEADER_LENGTH + length


def mapped_address(message: bytes, *, transaction_id: bytes) -> IPAddress:
    """The address that a server saw a request come from: the XOR-MAPPED-ADDRESS of its response.

    MAPPED-ADDRESS alone is not believed: translators rewrite it when they find an address of their own in
    a packet (section 14.2).

    Raises:
        MalformedAnswerError: no response to this request, malformed, or without an address that a
            connection can come from.
        ProbeRejectedError: an error response to this request; its code and reason.
    """
    header, body = message[:HEADER_LENGTH], message[HEADER_LENGTH:]
    if len(header) < HEADER_LENGTH:
        raise MalformedAnswerError(f"{len(message)} bytes are no STUN message")
    length = response_length(header, transaction_id=transaction_id)
    if len(message) != length:
        raise MalformedAnswerError(f"{len(message)} bytes of a STUN response of {length}")
    attributes = _attributes(body)
    if header[:2] == _ERROR.to_bytes(2):
        raise ProbeRejectedError(_error(attributes.get(_ERROR_CODE, b"")))
    unknown = [kind for kind in attributes if kind < 0x8000 and kind not in _UNDERSTOOD]
    if unknown:
        # Section 6.3.3.
        raise MalformedAnswerError(f"the STUN attribute {unknown[0]:#06x} must be understood")
    if _XOR_MAPPED_ADDRESS not in attributes:
        raise MalformedAnswerError("a STUN response without XOR-MAPPED-ADDRESS")
    return _address(attributes[_XOR_MAPPED_ADDRESS], pad=header[4:])


def _attributes(body: bytes) -> dict[int, bytes]:
    """Types and values; of several of one type the first counts, and padding is anything (section 14)."""
    attributes: dict[int, bytes] = {}
    while body:
        # The length of a message is a multiple of four: what follows is at least type and length.
        kind, length = struct.unpack_from("!HH", body)
        if 4 + length > len(body):
            raise MalformedAnswerError(f"the STUN attribute {kind:#06x} is cut off")
        attributes.setdefault(kind, body[4 : 4 + length])
        body = body[4 + length + -length % 4 :]
    return attributes


def _error(value: bytes) -> str:
    """Code and reason of ERROR-CODE (section 14.8); without one the request has failed as well (6.3.4)."""
    if len(value) < 4 or not 3 <= value[2] & 0x07 <= 6 or value[3] > 99:
        return "a STUN error without a code"
    reason = value[4:].decode("ascii", errors="replace")
    return printable(f"STUN error {value[2] & 0x07}{value[3]:02} {reason}")


def _address(value: bytes, *, pad: bytes) -> IPAddress:
    """The address in XOR-MAPPED-ADDRESS; ``pad`` is cookie and transaction ID (section 14.2)."""
    kind = _ADDRESSES.get((value[1], len(value))) if len(value) > 1 else None
    if kind is None:
        raise MalformedAnswerError("XOR-MAPPED-ADDRESS holds no address")
    packed = bytes(byte ^ masked for byte, masked in zip(value[4:], pad, strict=False))
    address = kind(packed)
    if not is_possible(address):
        raise MalformedAnswerError(f"no connection comes from {address}")
    return address
