"""The codec of STUN: what a request is, and which of all responses holds an address to believe."""

import random
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from aioice import stun as other

from sidecar.core.probes import MalformedAnswerError, ProbeRejectedError, is_possible
from sidecar.core.stun import binding_request, mapped_address, response_length
from tests.support.stun import ID, SEEN, attribute, error_code, mapped, message, xor_mapped

MANY = 10_000
"""Random messages that are compared with what another codec makes of them."""

_VECTOR_HEAD = "2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220"
VECTORS = {
    "192.0.2.1": f"0101003c {_VECTOR_HEAD} 00200008 0001a147 e112a643"
    "00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7 80280004 c07d4c96",
    "2001:db8:1234:5678:11:2233:4455:6677": f"01010048 {_VECTOR_HEAD} 00200014 0002a147 0113a9fa a5d3f179"
    "bc25f4b5 bed2b9d9 00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41 80280004 c8fb0b4c",
}
"""Sample responses of RFC 5769, sections 2.2 and 2.3."""


def test_request() -> None:
    """A request is a header alone: class, method, no length, cookie and transaction ID."""
    assert binding_request(ID) == bytes.fromhex("0001 0000 2112a442") + ID


@pytest.mark.parametrize("address", VECTORS)
def test_vectors(address: str) -> None:
    """The sample responses of RFC 5769 are read, in whose padding is anything."""
    response = bytes.fromhex(VECTORS[address])
    assert mapped_address(response, transaction_id=response[8:20]) == ip_address(address)


@pytest.mark.parametrize(
    "address", [SEEN, "10.1.2.3", "127.0.0.1", "2001:db8::1", "fe80::1", "::1", "64:ff9b::cb00:7107"]
)
@pytest.mark.parametrize(
    "before",
    [
        b"",
        mapped("198.51.100.1"),
        attribute(0x8022, b"coturn"),
        attribute(0x0004, b"\0\1\x0d\x96\x7f\0\0\1") + attribute(0x0005, b"\0\1\x0d\x97\x7f\0\0\1"),
        attribute(0x8028, b"\0\0\0\0"),
        attribute(0xC001, b""),
    ],
    ids=["alone", "MAPPED-ADDRESS", "SOFTWARE", "RFC 3489", "a wrong FINGERPRINT", "unknown, empty"],
)
def test_address(address: str, before: bytes) -> None:
    """The address in XOR-MAPPED-ADDRESS is believed, whatever a client need not understand beside it."""
    for attributes in ((before, xor_mapped(address)), (xor_mapped(address), before)):
        assert mapped_address(message(*attributes), transaction_id=ID) == ip_address(address)


def test_first_address_counts() -> None:
    """Of two addresses the first one counts."""
    response = message(xor_mapped("192.0.2.1"), xor_mapped("192.0.2.2"))
    assert mapped_address(response, transaction_id=ID) == ip_address("192.0.2.1")


WHOLE = message(xor_mapped())


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (b"", "0 bytes are no STUN message"),
        (WHOLE[:19], "19 bytes are no STUN message"),
        (WHOLE[:-1], "31 bytes of a STUN response of 32"),
        (WHOLE + b"\0", "33 bytes of a STUN response of 32"),
        (WHOLE[:20], "20 bytes of a STUN response of 32"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no STUN response"),
        (message(xor_mapped(), kind=0x0001), "no STUN response"),
        (message(xor_mapped(), kind=0x0011), "no STUN response"),
        (message(xor_mapped(), kind=0x0103), "no STUN response"),
        (message(xor_mapped(), kind=0x8101), "no STUN response"),
        (message(xor_mapped(), cookie=b"\0\0\0\0"), "no STUN response"),
        (message(xor_mapped(), transaction_id=ID[::-1]), "to another request"),
        (message(error_code(400), kind=0x0111, transaction_id=ID[::-1]), "to another request"),
        (message(xor_mapped(), attribute(0x8022, b"")[:2], length=14), "STUN response of 34 bytes"),
        (message(xor_mapped(), attribute(0x8022, b"x" * 480)), "STUN response of 516 bytes"),
        (message(), "without XOR-MAPPED-ADDRESS"),
        (message(mapped()), "without XOR-MAPPED-ADDRESS"),
        (message(attribute(0x8020, xor_mapped()[4:])), "without XOR-MAPPED-ADDRESS"),
        (message(xor_mapped(), b"\x80\x22\x00\x01"), "0x8022 is cut off"),
        (message(xor_mapped(), b"\x80\x22\xff\xff"), "0x8022 is cut off"),
        (message(xor_mapped(), attribute(0x7FFF, b"")), "0x7fff must be understood"),
        (message(attribute(0x0024, b"\0\0\0\0"), xor_mapped()), "0x0024 must be understood"),
        (message(attribute(0x0020, b"")), "holds no address"),
        (message(attribute(0x0020, b"\0\1\0\0\1\2\3")), "holds no address"),
        (message(attribute(0x0020, bytes(1) + b"\1" + bytes(18))), "holds no address"),
        (message(attribute(0x0020, bytes(1) + b"\2" + bytes(6))), "holds no address"),
        (message(attribute(0x0020, bytes(1) + b"\3" + bytes(6))), "holds no address"),
        (message(xor_mapped("0.0.0.0")), "no connection comes from 0.0.0.0"),
        (message(xor_mapped("0.1.2.3")), "no connection comes from 0.1.2.3"),
        (message(xor_mapped("224.0.0.1")), "no connection comes from 224.0.0.1"),
        (message(xor_mapped("255.255.255.255")), "no connection comes from 255.255.255.255"),
        (message(xor_mapped("::")), "no connection comes from ::"),
        (message(xor_mapped("ff02::1")), "no connection comes from ff02::1"),
        (message(xor_mapped("::ffff:192.0.2.1")), "no connection comes from ::ffff:"),
    ],
)
def test_malformed(response: bytes, words: str) -> None:
    """What is no response to the request, or has no address to believe, says why it is not believed."""
    with pytest.raises(MalformedAnswerError, match=words):
        mapped_address(response, transaction_id=ID)


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        (error_code(401, b"Unauthorized"), "STUN error 401 Unauthorized"),
        (xor_mapped() + error_code(300, b"Try Alternate"), "STUN error 300 Try Alternate"),
        (error_code(420) + attribute(0x000A, b"\0\x20"), "STUN error 420"),
        (error_code(500, b"\x1b[2J\r\n caf\xc3\xa9"), "STUN error 500 ?[2J caf??"),
        (error_code(699, b"x" * 400), f"STUN error 699 {'x' * 185}"),
        (b"", "a STUN error without a code"),
        (error_code(200, b"OK"), "a STUN error without a code"),
        (error_code(700, b"Why"), "a STUN error without a code"),
        (attribute(0x0009, b"\0\0\4\x64"), "a STUN error without a code"),
        (attribute(0x0009, b"\0\0\4"), "a STUN error without a code"),
    ],
)
def test_errors(attributes: bytes, text: str) -> None:
    """An error response says its code and reason, printable and bounded."""
    with pytest.raises(ProbeRejectedError) as error:
        mapped_address(message(attributes, kind=0x0111), transaction_id=ID)
    assert str(error.value) == text


def test_length_over_tcp() -> None:
    """The header says how long a response is, and at most 512 bytes are."""
    longest = message(xor_mapped(), attribute(0x8022, b"x" * 476))
    assert response_length(longest[:20], transaction_id=ID) == len(longest) == 512
    for length in (496, 0xFFFC, 0xFFFF, 13):
        with pytest.raises(MalformedAnswerError):
            response_length(message(length=length), transaction_id=ID)


def test_truncated_and_flipped() -> None:
    """No part of a response is one, and no bit of header or address may change without being noticed."""
    for end in range(len(WHOLE)):
        with pytest.raises(MalformedAnswerError):
            mapped_address(WHOLE[:end], transaction_id=ID)
    for bit in range(20 * 8):
        flipped = int.from_bytes(WHOLE) ^ 1 << (len(WHOLE) * 8 - 1 - bit)
        with pytest.raises((MalformedAnswerError, ProbeRejectedError)):
            mapped_address(flipped.to_bytes(len(WHOLE)), transaction_id=ID)


def random_address(chance: random.Random) -> IPv4Address | IPv6Address:
    """Any address of either family, among them those that nothing can have."""
    return (
        IPv4Address(chance.getrandbits(32)) if chance.random() < 0.5 else IPv6Address(chance.getrandbits(128))
    )


def test_requests_as_another_codec_reads_them() -> None:
    """What aioice reads of a request is a Binding request with its transaction ID, and nothing else."""
    chance = random.Random("requests")
    for _ in range(MANY):
        transaction_id = chance.randbytes(12)
        read = other.parse_message(binding_request(transaction_id))
        assert (read.message_method, read.message_class) == (other.Method.BINDING, other.Class.REQUEST)
        assert (read.transaction_id, read.attributes) == (transaction_id, {})


def test_responses_of_another_codec() -> None:
    """Of a response that aioice makes the address is read, or the error; an impossible address is refused."""
    chance = random.Random("responses")
    refused = 0
    for _ in range(MANY):
        address, transaction_id = random_address(chance), chance.randbytes(12)
        attributes = {
            "XOR-MAPPED-ADDRESS": (str(address), chance.randrange(65536)),
            "MAPPED-ADDRESS": (str(random_address(chance)), chance.randrange(65536)),
            "SOFTWARE": "x" * chance.randrange(60),
            "RESPONSE-ORIGIN": ("192.0.2.9", 3478),
            "ERROR-CODE": (chance.randrange(300, 700), "why"),
        }
        names = chance.sample(sorted(attributes), chance.randint(1, len(attributes)))
        made = other.Message(
            other.Method.BINDING,
            chance.choice((other.Class.RESPONSE, other.Class.ERROR)),
            transaction_id,
            {name: attributes[name] for name in names},
        )
        if chance.random() < 0.3:
            made.add_message_integrity(b"secret")
        response = bytes(made)
        if made.message_class is other.Class.ERROR:
            with pytest.raises(ProbeRejectedError) as error:
                mapped_address(response, transaction_id=transaction_id)
            expected = (
                f"STUN error {made.error_code} why" if made.error_code else "a STUN error without a code"
            )
            assert str(error.value) == expected
        elif "XOR-MAPPED-ADDRESS" in names and is_possible(address):
            assert mapped_address(response, transaction_id=transaction_id) == address
        else:
            refused += 1
            with pytest.raises(MalformedAnswerError):
                mapped_address(response, transaction_id=transaction_id)
    assert MANY / 10 < refused < MANY / 2


def test_believed_responses_as_another_codec_reads_them() -> None:
    """Every address that is believed, of responses with any attributes in any order, aioice reads as well."""
    chance = random.Random("believed")
    believed = 0
    for _ in range(MANY):
        transaction_id = chance.randbytes(12)
        attributes = [
            xor_mapped(
                str(random_address(chance)), transaction_id=transaction_id, port=chance.randrange(65536)
            ),
            mapped(str(random_address(chance))),
            *(
                attribute(
                    chance.choice((0x8000, 0x8023, 0xC001, 0x7F00)), chance.randbytes(chance.randrange(40))
                )
                for _ in range(chance.randrange(3))
            ),
        ]
        kept = chance.sample(attributes, chance.randint(1, len(attributes)))
        response = message(*kept, transaction_id=transaction_id)
        try:
            address = mapped_address(response, transaction_id=transaction_id)
        except MalformedAnswerError:
            continue
        believed += 1
        read = other.parse_message(response)
        assert read.attributes["XOR-MAPPED-ADDRESS"][0] == str(address)
        assert read.transaction_id == transaction_id
    assert MANY / 5 < believed < MANY
