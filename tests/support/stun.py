"""STUN messages as a server makes them, and as none should: a second encoder, beside the one under test."""

from ipaddress import ip_address

COOKIE = bytes.fromhex("2112a442")
ID = bytes(range(12))
SEEN = "203.0.113.7"
"""Where a probe sees connections come from, unless a test says otherwise."""

XOR_MAPPED_ADDRESS, MAPPED_ADDRESS, ERROR_CODE, SOFTWARE = 0x0020, 0x0001, 0x0009, 0x8022


def attribute(kind: int, value: bytes, *, padding: bytes = b"\0\0\0") -> bytes:
    """One attribute, padded to a multiple of four bytes."""
    return kind.to_bytes(2) + len(value).to_bytes(2) + value + padding[: -len(value) % 4]


def mapped(address: str = SEEN, *, port: int = 4711) -> bytes:
    """MAPPED-ADDRESS."""
    at = ip_address(address)
    return attribute(MAPPED_ADDRESS, bytes([0, 1 if at.version == 4 else 2]) + port.to_bytes(2) + at.packed)


def xor_mapped(address: str = SEEN, *, transaction_id: bytes = ID, port: int = 4711) -> bytes:
    """XOR-MAPPED-ADDRESS."""
    at = ip_address(address)
    pad = int.from_bytes((COOKIE + transaction_id)[: len(at.packed)])
    masked = (int(at) ^ pad).to_bytes(len(at.packed))
    head = bytes([0, 1 if at.version == 4 else 2]) + (port ^ 0x2112).to_bytes(2)
    return attribute(XOR_MAPPED_ADDRESS, head + masked)


def error_code(code: int, reason: bytes = b"") -> bytes:
    """ERROR-CODE."""
    return attribute(ERROR_CODE, bytes([0, 0, code // 100, code % 100]) + reason)


def message(
    *attributes: bytes,
    kind: int = 0x0101,
    length: int | None = None,
    cookie: bytes = COOKIE,
    transaction_id: bytes = ID,
) -> bytes:
    """A whole message; ``length`` is what its header says, the right one unless a test knows better."""
    body = b"".join(attributes)
    return (
        kind.to_bytes(2)
        + (len(body) if length is None else length).to_bytes(2)
        + cookie
        + transaction_id
        + body
    )
