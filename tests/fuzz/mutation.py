"""Byte mutation: from one answer to one that nobody would send, or nearly."""

import random
from collections.abc import Callable, Sequence

_LONGEST = 1024 * 1024
"""Bytes; repeated mutation doubles what it mutates."""

_TOKENS = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"null", b"true", b"false", b"{}", b"[]", b'""'),
    *(b"0", b"-1", b"65535", b"65536", b"1e309", b"1E400", b"-0.0", b"1.0", b"NaN", b"Infinity"),
    *(b"9" * 400, b"[" * 300, b'{"a":' * 150, b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[2J", b"\r\n"),
    *(b"\\u0000", b"\\ud800", b"\\u202e", "\u212a".encode(), "\u0660".encode(), "\u0131".encode()),
    *(b'"loadbalancer"', b'"publicIpAddresses"', b'"inboundRules"', b'"outboundRules"'),
    *(b'"frontendIpAddress"', b'"privateIpAddress"', b'"protocol"', b'"frontendPort"', b'"backendPort"'),
    *(
        b'"::ffff:1.2.3.4"',
        b'"fe80::1%eth0"',
        b'"[::1"',
        b'"01.2.3.4"',
        b'"1.2.3.4/32"',
        *(b'"0.0.0.0"', b'"::"', b'"127.0.0.1"', b'"224.0.0.1"', b'"255.255.255.255"', b'"All"', b'""'),
        b'"' + b"a" * 99 + b'"',
    ),
    *(b'"inboundRules":null,', b'"inboundRules":[],', b'"outboundRules":{},', b'"publicIpAddresses":[0],'),
)
"""Pieces that mean something to a parser of JSON, of addresses, or of this document."""

_Mutation = Callable[[random.Random, bytes, bytes], bytes]


def mutated(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of ``seeds`` after a few random changes; now and then after none."""
    body = chance.choice(seeds)
    for _ in range(min(int(chance.expovariate(0.5)), 12)):
        other = chance.choice(seeds)
        body = chance.choice(_MUTATIONS)(chance, body, other)[:_LONGEST]
    return body


def _cut_out(chance: random.Random, body: bytes) -> tuple[int, int]:
    """A random slice, mostly a short one."""
    start = chance.randint(0, len(body))
    longest = len(body) - start if chance.random() < 0.2 else 16
    return start, min(len(body), start + chance.randint(0, max(1, longest)))


def _flip(chance: random.Random, body: bytes, _: bytes) -> bytes:
    if not body:
        return body
    at = chance.randrange(len(body))
    return body[:at] + bytes([body[at] ^ (1 << chance.randrange(8))]) + body[at + 1 :]


def _overwrite(chance: random.Random, body: bytes, _: bytes) -> bytes:
    start, end = _cut_out(chance, body)
    return body[:start] + chance.randbytes(end - start) + body[end:]


def _insert(chance: random.Random, body: bytes, _: bytes) -> bytes:
    at = chance.randint(0, len(body))
    return body[:at] + chance.choice(_TOKENS) + body[at:]


def _replace(chance: random.Random, body: bytes, _: bytes) -> bytes:
    start, end = _cut_out(chance, body)
    return body[:start] + chance.choice(_TOKENS) + body[end:]


def _exchange(chance: random.Random, body: bytes, _: bytes) -> bytes:
    """Put one meaningful piece in the place of another, wherever that stands."""
    return body.replace(chance.choice(_TOKENS), chance.choice(_TOKENS), chance.choice((1, -1)))


def _delete(chance: random.Random, body: bytes, _: bytes) -> bytes:
    start, end = _cut_out(chance, body)
    return body[:start] + body[end:]


def _repeat(chance: random.Random, body: bytes, _: bytes) -> bytes:
    start, end = _cut_out(chance, body)
    return body[:end] + body[start:end] * chance.choice((1, 1, 1, 2, 10, 100)) + body[end:]


def _truncate(chance: random.Random, body: bytes, _: bytes) -> bytes:
    return body[: chance.randint(0, len(body))]


def _splice(chance: random.Random, body: bytes, other: bytes) -> bytes:
    return body[: chance.randint(0, len(body))] + other[chance.randint(0, len(other)) :]


def _empty_a_list(chance: random.Random, body: bytes, _: bytes) -> bytes:
    """Take the entries out of one list: random bytes alone seldom leave the rest intact."""
    name = chance.choice((b'"publicIpAddresses":', b'"inboundRules":', b'"outboundRules":'))
    start = body.find(name)
    end = body.find(b"]", start)
    if start < 0 or end < 0:
        return body
    return body[:start] + name + chance.choice((b"[]", b"null", b"{}", b"0", b"[{}]")) + body[end + 1 :]


def _change_a_digit(chance: random.Random, body: bytes, _: bytes) -> bytes:
    """The mutation that most often leaves a valid document, and another one."""
    places = [at for at, byte in enumerate(body[:4096]) if 0x30 <= byte <= 0x39]
    if not places:
        return body
    at = chance.choice(places)
    return body[:at] + b"%d" % chance.randrange(10) + body[at + 1 :]


_MUTATIONS: tuple[_Mutation, ...] = (
    _flip,
    _overwrite,
    _insert,
    _replace,
    _exchange,
    _delete,
    _repeat,
    _truncate,
    _splice,
    _empty_a_list,
    _empty_a_list,
    _change_a_digit,
    _change_a_digit,
)
