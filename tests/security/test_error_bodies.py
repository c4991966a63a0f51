"""Whoever answers, with whatever status: a body costs no more memory than it may, and no text is endless."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.core.outcome import Failure, Reason, Success
from sidecar.core.parsing import ERROR_LIMIT, error_object
from sidecar.core.reply import fallback_version, interpret
from sidecar.core.upstream import UpstreamResponse, interpret as interpret_agent
from sidecar.doctor.evidence import Environment, ServiceAttempt
from sidecar.doctor.replies import judge
from sidecar.kube.errors import error_from_answer
from tests.core.examples import at, utc
from tests.core.upstream import body as agent_body, response as agent_response
from tests.fuzz.cost import memory_measured
from tests.support.faults import Origin, fault, outage

LONGEST = 4 * 1024 * 1024
"""Bytes of a document that are read."""

MOST_MEMORY = 16 * 1024 * 1024
"""Bytes that reading any error may take; 64 KiB of the worst JSON take 6 MiB."""

MOST_OF_A_TEXT = 40 * 1024 * 1024
"""Bytes for a text of 4 MiB: four for each character, and half as much again while it is made."""

WORST = {
    "members": b'{"":{}},',
    "lists": b"[[]],",
    "objects": b"{},",
    "numbers": b"0,",
    "names": b'"",',
}
"""What JSON takes most memory for, by its length."""


def filled(entry: bytes, length: int) -> bytes:
    """A list of nothing but such entries, nearly so long."""
    return b"[" + entry * ((length - 2) // len(entry)) + b"0]"


def wrapped(entry: bytes, length: int) -> bytes:
    """The same as a member of an error."""
    return b'{"kind":"Status","error":' + filled(entry, length - 30) + b"}"


READERS: dict[str, Callable[[int, bytes], object]] = {
    "metadata service": interpret,
    "another api-version": lambda _, body: fallback_version(body, refused=()),
    "node agent": lambda status, body: interpret_agent(
        UpstreamResponse(status=status, body=body, age="0"), node=None, last=None, now=at(0)
    ),
    "API server": lambda status, body: error_from_answer(status, headers={}, body=body, now=utc(0)),
    "doctor": lambda status, body: judge(
        ServiceAttempt(
            at=utc(0), seconds=0.0, status=status, body=body[:ERROR_LIMIT], reason=Reason.UNAVAILABLE
        ),
        Environment(endpoint="http://127.0.0.1:9", default_endpoint=True, timeout=5.0),
    ),
}
"""Everybody who reads the body of an error."""


@fault(
    Origin.SERVICE,
    "Its error, of any status, is a body of hundreds of thousands of tiny values",
    outage("unavailable").but(
        served=(
            "The last good data, ageing. Of an error 64 KiB are read, and no more of it is parsed; the status"
            " counts as with any other body. The same holds of a node agent's and the API server's errors."
        ),
    ),
)
@pytest.mark.parametrize("entry", WORST.values(), ids=WORST)
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("make", [filled, wrapped])
def test_memory(
    reader: Callable[[int, bytes], object], make: Callable[[bytes, int], bytes], entry: bytes
) -> None:
    """An error of any length and status takes some memory, and never a hundred times its length."""
    for body in (make(entry, LONGEST), make(entry, ERROR_LIMIT)):
        for status in (400, 404, 503):
            with memory_measured() as memory:
                reader(status, body)
            assert memory.amount < MOST_MEMORY, f"{memory.amount} bytes for {len(body)} under {status}"


def test_longest_error_is_read() -> None:
    """An error of exactly the longest length still says what it says, a longer one nothing."""
    text = {"error": "No load balancer metadata is found.", "padding": ""}
    text["padding"] = "x" * (ERROR_LIMIT - len(json.dumps(text)))
    body = json.dumps(text).encode()
    assert len(body) == ERROR_LIMIT
    assert isinstance(interpret(404, body), Success)
    assert error_object(body)["error"]
    assert error_object(body + b" ") == {}


TEXTS = {
    "colons": ":" * (LONGEST - 1024) + "\U0001f600",
    "letters": "a" * (LONGEST - 1024) + "\U0001f600",
    "dots": "1." * (LONGEST // 2 - 512),
    "brackets": "[" + "f:" * (LONGEST // 2 - 512) + "]",
    "emoji": "\U0001f600" * (LONGEST // 4 - 512),
}
"""Texts as long as a body may be, each costly in another way."""

MEMBERS = ("frontendIpAddress", "privateIpAddress", "protocol", "frontendPort", "backendPort", "unknown")


@fault(
    Origin.SERVICE,
    "A text of an entry is megabytes long",
    outage("malformed").but(
        served="The last good data, or what is right among the entries: the one with that text is left out.",
        logged=(
            "`entries-dropped` or `poll-failed` with the first 200 characters; no address is longer than 64"
            " characters, no protocol than 16, no port than 5, and none is looked at beyond."
        ),
    ),
)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("member", MEMBERS)
def test_long_text(member: str, text: str) -> None:
    """A text of megabytes costs little more than holding it once, wherever in an entry it stands."""
    entry: dict[str, object] = {
        "frontendIpAddress": "20.1.2.3",
        "privateIpAddress": "10.240.0.4",
        "protocol": "Tcp",
        "frontendPort": 80,
        "backendPort": 80,
    }
    long = {**entry, "frontendPort": 81, member: text}
    body = json.dumps({"loadbalancer": {"inboundRules": [entry, long]}}, ensure_ascii=False).encode()
    assert len(body) <= LONGEST
    with memory_measured() as memory:
        outcome = interpret(200, body)
    assert memory.amount < MOST_OF_A_TEXT, f"{memory.amount} for {len(body)}"
    assert isinstance(outcome, Success)
    assert outcome.document.entries == (2 if member == "unknown" else 1)
    assert all(len(dropped.shown) <= 200 for dropped in outcome.dropped)


@pytest.mark.parametrize("entry", ["{text}", "[[{text}]]", "{{{text}: 1}}"])
def test_shown_of_a_long_entry(entry: str) -> None:
    """Of an entry that is left out, the beginning alone is looked at for the log."""
    text = json.dumps(TEXTS["emoji"], ensure_ascii=False)
    good = '{"frontendIpAddress":"20.1.2.3","privateIpAddress":"10.240.0.4"}'
    entries = f"{good},{entry.format(text=text)}"
    with memory_measured() as memory:
        outcome = interpret(200, f'{{"loadbalancer":{{"publicIpAddresses":[{entries}]}}}}'.encode())
    assert memory.amount < MOST_OF_A_TEXT
    assert isinstance(outcome, Success)
    assert [len(dropped.shown) for dropped in outcome.dropped] == [200]


@pytest.mark.parametrize("member", ["status", "reason", "revision", "changedAt", "node"])
def test_long_text_of_an_agent(member: str) -> None:
    """A node agent's texts have bounds as well, and the failure does not repeat them."""
    members: dict[str, Any] = {member: TEXTS["colons"]}
    content = agent_body(**members)
    with memory_measured() as memory:
        outcome = interpret_agent(agent_response(content), node=None, last=None, now=at(0))
    assert memory.amount < MOST_OF_A_TEXT
    if isinstance(outcome, Failure):
        assert len(outcome.detail) <= 250
