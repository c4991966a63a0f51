"""The codec of STUN beside that of pion, in Go: each reads what the other has made."""

import random
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from sidecar.core.probes import MalformedAnswerError, ProbeRejectedError, is_possible
from sidecar.core.stun import binding_request, mapped_address
from tests.core.test_stun import MANY, random_address
from tests.examples.support import environment, program_or_skip
from tests.support.stun import attribute, error_code, mapped, message, xor_mapped
from tests.support.waiting import DEADLINE_S

SOURCE = Path(__file__).parent / "pion"
COMPILING_S = 1500.0
"""Of the Go command with an empty cache on a busy machine."""

pytestmark = [pytest.mark.go, pytest.mark.timeout(COMPILING_S + 300)]

Pion = Callable[[Iterable[str]], list[str]]
"""Gives a line for each line."""


@pytest.fixture(scope="session")
def pion(tmp_path_factory: pytest.TempPathFactory) -> Pion:
    """The program, which is compiled first."""
    binary = tmp_path_factory.mktemp("pion") / "pion"
    build = (program_or_skip("go"), "build", "-o", str(binary), ".")
    # The modules come from where this machine has them from, in the versions of go.sum.
    inherited = environment({"GOFLAGS": "-mod=readonly"})
    subprocess.run(build, cwd=SOURCE, env=inherited, check=True, timeout=COMPILING_S)

    def speak(lines: Iterable[str]) -> list[str]:
        said = subprocess.run(
            [binary],
            input="\n".join(lines),
            capture_output=True,
            encoding="ascii",
            # The reason of an error may be any bytes.
            errors="replace",
            check=True,
            timeout=DEADLINE_S,
        )
        return said.stdout.splitlines()

    return speak


def test_requests(pion: Pion) -> None:
    """What pion reads of a request is a Binding request with its transaction ID, and no attribute."""
    chance = random.Random("requests")
    ids = [chance.randbytes(12) for _ in range(MANY)]
    assert pion(f"request {binding_request(each).hex()}" for each in ids) == [each.hex() for each in ids]


def test_responses_of_pion(pion: Pion) -> None:
    """The address in a response that pion makes is read, unless nothing can come from it."""
    chance = random.Random("responses")
    made = [(chance.randbytes(12), random_address(chance)) for _ in range(MANY)]
    lines = pion(
        f"encode {each.hex()} {address} {chance.randrange(65536)} {'x' * chance.randint(1, 50)}"
        for each, address in made
    )
    for (transaction_id, address), line in zip(made, lines, strict=True):
        if is_possible(address):
            assert mapped_address(bytes.fromhex(line), transaction_id=transaction_id) == address
        else:
            with pytest.raises(MalformedAnswerError):
                mapped_address(bytes.fromhex(line), transaction_id=transaction_id)


def test_read_as_pion_reads(pion: Pion) -> None:
    """Of responses with any attributes, and of damaged ones, nothing is believed that pion does not read."""
    chance = random.Random("read")
    cases: list[tuple[bytes, bytes, bool]] = []
    for _ in range(MANY):
        transaction_id = chance.randbytes(12)
        attributes = [
            xor_mapped(str(random_address(chance)), transaction_id=transaction_id),
            mapped(str(random_address(chance))),
            error_code(chance.randrange(300, 700), b"why"),
            attribute(chance.choice((0x8000, 0x8023, 0xC001)), chance.randbytes(chance.randrange(40))),
        ]
        kept = chance.sample(attributes, chance.randint(1, 4))
        kind = chance.choice((0x0101, 0x0101, 0x0111))
        whole = bytearray(message(*kept, kind=kind, transaction_id=transaction_id))
        at, damaged = chance.randrange(len(whole)), chance.random() < 0.3
        # What is reserved is to be ignored (RFC 8489 sections 14.1 and 14.8); pion wants it to be zero.
        if damaged and whole[at - 4 : at - 2] != b"\x00\x20":
            whole[at] ^= 1 << chance.randrange(8)
        cases.append((bytes(whole), transaction_id, damaged))
    lines = pion(f"decode {whole.hex()}" for whole, _, _ in cases)
    believed = 0
    for (sent, transaction_id, damaged), line in zip(cases, lines, strict=True):
        try:
            said = str(mapped_address(sent, transaction_id=transaction_id))
        except ProbeRejectedError as error:
            said = str(error).removeprefix("STUN ")
            if damaged or b"why" not in sent:
                continue
        except MalformedAnswerError:
            continue
        believed += 1
        assert said == line.replace('"', "")
    assert MANY / 3 < believed < MANY


def test_formatted_and_vetted() -> None:
    """The Go program is as gofmt writes it, and vet has nothing to say."""
    inherited = environment({"GOFLAGS": "-mod=readonly"})
    for command in ((program_or_skip("gofmt"), "-l", "."), (program_or_skip("go"), "vet", ".")):
        said = subprocess.run(
            command,
            cwd=SOURCE,
            env=inherited,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMPILING_S,
        )
        assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
