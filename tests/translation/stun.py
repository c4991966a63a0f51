"""A STUN client that shares nothing with the product: one Binding (RFC 8489), no retries."""

import os
import socket
import struct
from ipaddress import ip_address

PORT = 3478
TIMEOUT_S = 5.0
"""After so long nothing comes any more: what waits for an answer asks again."""

_COOKIE = 0x2112A442
_BINDING_REQUEST, _BINDING_SUCCESS = 0x0001, 0x0101
_XOR_MAPPED_ADDRESS = 0x0020
_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")


def binding(server: str, *, transport: str, port: int = PORT, timeout_s: float = TIMEOUT_S) -> str:
    """The address that a server saw one new flow come from; `transport` is ``udp`` or ``tcp``.

    Raises:
        OSError: no answer: TimeoutError within `timeout_s` seconds, ConnectionError at once.
        AssertionError: one that is no success of this request, or has no address.
    """
    with connected(server, transport=transport, port=port, timeout_s=timeout_s) as flow:
        return ask(flow)


def connected(
    server: str, *, transport: str, port: int = PORT, timeout_s: float = TIMEOUT_S
) -> socket.socket:
    """A new flow to a server, on which nothing was sent yet.

    Raises:
        OSError: over TCP, there is no connection.
    """
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    kind = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}[transport]
    flow = socket.socket(family, kind)
    try:
        flow.settimeout(timeout_s)
        flow.connect((server, port))
    except OSError:
        flow.close()
        raise
    return flow


def ask(flow: socket.socket) -> str:
    """The address that the server at the other end sees the flow come from.

    Raises:
        OSError, AssertionError: as :func:`binding`.
    """
    transaction = os.urandom(12)
    answer = exchange(flow, _HEADER.pack(_BINDING_REQUEST, 0, _COOKIE, transaction))
    length = len(answer) - _HEADER.size
    assert _HEADER.unpack_from(answer) == (_BINDING_SUCCESS, length, _COOKIE, transaction)
    return _mapped_address(answer)


def exchange(flow: socket.socket, request: bytes) -> bytes:
    """Send a request, and give the message that comes back.

    Raises:
        OSError: there is none.
    """
    flow.send(request)
    answer = b""
    while not _is_whole(answer):
        received = flow.recv(2048)
        if not received:
            raise ConnectionResetError("the server closed the connection without an answer")
        answer += received
    return answer


def _is_whole(answer: bytes) -> bool:
    return len(answer) >= _HEADER.size and len(answer) >= _HEADER.size + _HEADER.unpack_from(answer)[1]


def _mapped_address(answer: bytes) -> str:
    key = answer[4:20]
    position = _HEADER.size
    while position < len(answer):
        kind, length = _ATTRIBUTE.unpack_from(answer, position)
        value = answer[position + 4 : position + 4 + length]
        if kind == _XOR_MAPPED_ADDRESS:
            return str(ip_address(bytes(a ^ b for a, b in zip(value[4:], key, strict=False))))
        position += 4 + length + -length % 4
    raise AssertionError("the answer has no XOR-MAPPED-ADDRESS")
