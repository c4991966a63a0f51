"""Mutated answers of egress probes: an address is believed exactly where a second statement finds one."""

import json
import random
from collections.abc import Iterator
from ipaddress import ip_address

from sidecar.core.addresses import IPAddress
from sidecar.core.probes import MalformedAnswerError, ProbeRejectedError, address_in_body
from sidecar.core.stun import mapped_address
from tests.fuzz.mutation import mutated
from tests.fuzz.running import BrokenPromiseError
from tests.support.stun import COOKIE, ID, SEEN, attribute, error_code, mapped, message, xor_mapped

_MESSAGES = (
    message(xor_mapped()),
    message(xor_mapped("2001:db8::7")),
    message(mapped("198.51.100.1"), xor_mapped(), attribute(0x8022, b"a server"), attribute(0x8028, b"1234")),
    message(attribute(0x8022, b"odd"), xor_mapped("10.0.0.9"), attribute(0x802B, b"\0\1\x0d\x96\x7f\0\0\1")),
    message(mapped()),
    message(error_code(401, b"Unauthorized"), kind=0x0111),
    message(xor_mapped("::ffff:192.0.2.1")),
)
_BODIES = (
    *(SEEN.encode(), f"{SEEN}\n".encode(), b"2001:db8::7\r\n", b"10.0.0.9", b"::ffff:192.0.2.1", b"0.0.0.0"),
    *(b'{"ip":"203.0.113.7"}', b'{"country":"NL","ip":"2001:db8::7"}', b'{"origin":"203.0.113.7"}'),
    b"<!DOCTYPE html><html><body>203.0.113.7</body></html>",
)
_NOT_UNDERSTOOD = frozenset(range(0x8000)) - {
    *(0x01, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0A, 0x14, 0x15, 0x1C, 0x1D, 0x1E, 0x20)
}


def fuzz_probes(answers: int, *, seed: int) -> Iterator[bool]:
    """Judge that many mutated answers; gives of each whether it was believed.

    Raises:
        BrokenPromiseError: a promise was broken.
    """
    chance = random.Random(f"probes {seed}")
    for number in range(answers):
        over_https = chance.random() < 0.4
        answer = mutated(chance, _BODIES if over_https else _MESSAGES)[:2048]
        if not over_https and chance.random() < 0.6:
            # With the right length, so that more than the header is looked at.
            answer = answer[: len(answer) // 4 * 4]
            answer = answer[:2] + (max(0, len(answer) - 20) % 65536).to_bytes(2) + answer[4:]
        try:
            yield judge_body(answer) if over_https else judge_message(answer)
        except Exception as error:
            raise BrokenPromiseError(f"probe {seed}/{number}: {answer!r}") from error


def judge_message(answer: bytes) -> bool:
    """Give a STUN message to the codec; whether it was believed."""
    try:
        address = mapped_address(answer, transaction_id=ID)
    except (MalformedAnswerError, ProbeRejectedError) as error:
        _judge_text(error)
        errors = (b"\1\x11",) if isinstance(error, ProbeRejectedError) else (answer[:2],)
        assert answer[:2] in errors, "an error of what is none"
        assert _in_message(answer) is None, "a good answer was refused"
        return False
    assert str(address) == _in_message(answer)
    return True


def judge_body(answer: bytes) -> bool:
    """Give a body to who reads it; whether it was believed."""
    try:
        address = address_in_body(answer)
    except MalformedAnswerError as error:
        _judge_text(error)
        assert answer.strip()[:1] == b"{" or _in_body(answer) is None, "a good answer was refused"
        return False
    assert str(address) == _in_body(answer)
    return True


def _judge_text(error: Exception) -> None:
    text = str(error)
    assert text.isascii(), text
    assert text.isprintable(), text
    assert 0 < len(text) <= 200, text


def _in_message(answer: bytes) -> str | None:
    """The address in a message, by RFC 8489 once more."""
    right = (b"\1\1", (len(answer) - 20) % 65536, COOKIE + ID)
    if not 20 <= len(answer) <= 512 or len(answer) % 4:
        return None
    if (answer[:2], int.from_bytes(answer[2:4]), answer[4:20]) != right:
        return None
    at, found = 20, None
    while at < len(answer):
        kind, length = int.from_bytes(answer[at : at + 2]), int.from_bytes(answer[at + 2 : at + 4])
        end = at + 4 + length
        if end > len(answer) or kind in _NOT_UNDERSTOOD:
            return None
        if kind == 0x20 and found is None:
            found = answer[at + 4 : end]
        at = end if end % 4 == 0 else end + 4 - end % 4
    if found is None or (found[1:2], len(found)) not in {(b"\1", 8), (b"\2", 20)}:
        return None
    width = len(found) - 4
    number = int.from_bytes(found[4:]) ^ int.from_bytes((COOKIE + ID)[:width])
    return _possible(ip_address(number.to_bytes(width)))


def _in_body(answer: bytes) -> str | None:
    """The address in a body, by the standard library's JSON."""
    try:
        text = answer.decode().strip(" \t\n\r\v\f")
        value = json.loads(text)["ip"] if text.startswith("{") else text
        bracketed = value.startswith("[") and value.endswith("]") and ":" in value
        address = ip_address(value[1:-1] if bracketed else value)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return _possible(address)


def _possible(address: IPAddress) -> str | None:
    if address.version == 4:
        return str(address) if 1 <= address.packed[0] <= 223 else None
    none = address.packed == bytes(16) or address.packed[0] == 0xFF or "%" in str(address)
    return None if none or address.packed[:12] == bytes(10) + b"\xff\xff" else str(address)
