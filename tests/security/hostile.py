"""What a hostile metadata service, neighbour or client says, and how to tell that it had no effect."""

import gzip
import json
from collections.abc import Iterable, Iterator

from tests.support.raw_server import response

MARK = "x-injected"
"""Must nowhere begin a line or name a header."""

ESCAPES = f"\x1b]0;owned\x07\x1b[2J\x9b31m\r\n{MARK}: yes\r\n\r\n\u202e\u2028\u0085\x00\x7f"
"""Terminal escapes of 7 and 8 bits, line ends of every kind, a turn of direction, and a header."""

BOMB = gzip.compress(bytes(256 * 1024 * 1024), compresslevel=6)
"""A quarter of a MiB that unpacks to 256 MiB."""

_GOOD = {"frontendIpAddress": "20.1.2.3", "privateIpAddress": "10.240.0.4"}


def hostile_answers() -> Iterator[bytes]:
    """Whole HTTP responses, each hostile in another place."""
    text = json.dumps(ESCAPES).encode()
    raw = ESCAPES.encode()
    for status in ("200 OK", "400 Bad Request", "404 Not Found", "429 Too Many", "500 Error", "503 Busy"):
        yield response(status, b'{"error":' + text + b',"newest-versions":[' + text + b"]}")
        yield response(status, raw)
        yield response(status, raw * 2_000)
    yield response("503 \x1b[2J\x1b]0;owned\x07")
    yield response("404 No", b"{}", "Retry-After: \x1b[2J", "Location: \x1b[2J", "Server: \x1b[2J")
    yield response("302 Found", b"", "Location: http://127.0.0.1:9/\x1b[2J")
    yield b"HTTP/1.1 \x1b[2J\r\n\r\n"
    yield b"\x1b[2J\x1b]0;owned\x07\r\n\r\n"
    yield b"HTTP/1.1 200 OK\r\n\x1b[2J: a\r\n\r\n"
    yield b"HTTP/1.1 200 OK\r\nContent-Length: \x1b[2J\r\n\r\n"
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\x1b[2J\r\n"
    entries: list[object] = [{**_GOOD, "frontendIpAddress": ESCAPES}, ESCAPES, {ESCAPES: ESCAPES}, _GOOD]
    lists = {"publicIpAddresses": entries, "inboundRules": [], "outboundRules": [], ESCAPES: ESCAPES}
    yield response("200 OK", json.dumps({"loadbalancer": lists, ESCAPES: 1}).encode())


def unsafe(text: bytes | str | Iterable[str]) -> set[str]:
    """The characters of a text of lines that a terminal or a parser of lines could act on."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return {character for piece in text for character in piece if not " " <= character <= "~"} - {"\n"}
