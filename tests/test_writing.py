"""Lines whose reader does not read."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from sidecar.logs import LineWriter
from tests.support.waiting import DEADLINE_S

LINE = b"x" * 1023 + b"\n"


@dataclass
class Pipe:
    """A writer to a pipe, and what it tells."""

    reader: int
    end: int
    dropped: list[None] = field(default_factory=list)
    recovered: list[int] = field(default_factory=list)
    told: threading.Event = field(default_factory=threading.Event)

    def writer(self) -> LineWriter:
        """One that writes to the pipe."""
        return LineWriter(self.end, on_dropped=lambda: self.dropped.append(None), on_recovered=self._tell)

    def _tell(self, count: int) -> None:
        self.recovered.append(count)
        self.told.set()

    def read(self, wanted: Callable[[bytes], object]) -> bytes:
        """Read until there is what is wanted."""
        content = b""
        while not wanted(content):
            content += os.read(self.reader, 65536)
        return content


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe that nobody reads so far; at the end threads that write to it are let go."""
    reader, end = os.pipe()
    pipe = Pipe(reader, end)
    yield pipe
    os.close(reader)
    os.close(end)


def test_lines_are_written_in_order(pipe: Pipe) -> None:
    """What is read is every line, one after the other."""
    writer = pipe.writer()
    for number in range(1000):
        writer.write(b"%d\n" % number)
    assert writer.flush(DEADLINE_S)
    content = pipe.read(lambda content: content.endswith(b"\n999\n"))
    assert content == b"".join(b"%d\n" % number for number in range(1000))


def test_full_pipe_is_not_waited_for(pipe: Pipe) -> None:
    """Lines beyond 1 MiB are dropped and counted; when somebody reads, it is told how many."""
    writer = pipe.writer()
    for _ in range(3000):
        writer.write(LINE)
    lost = len(pipe.dropped)
    assert 1500 < lost < 2000, "1 MiB waits here, and some in the pipe"
    assert not writer.flush(0.01)
    pipe.read(lambda content: len(content) == (3000 - lost) * len(LINE))
    assert pipe.told.wait(DEADLINE_S)
    assert (pipe.recovered, len(pipe.dropped)) == ([lost], lost)
    writer.write(b"again\n")
    assert pipe.read(lambda content: content) == b"again\n"


def test_reader_that_is_gone_costs_the_lines(pipe: Pipe) -> None:
    """Lines that nobody can ever read are counted, and nothing waits for them."""
    reader, end = os.pipe()
    os.close(reader)
    gone = Pipe(reader, end)
    writer = gone.writer()
    for _ in range(5):
        writer.write(LINE)
    assert writer.flush(DEADLINE_S)
    assert len(gone.dropped) == 5
    assert pipe.dropped == []
    os.close(end)


def test_descriptor_that_does_not_block_loses_nothing(pipe: Pipe) -> None:
    """Where somebody has made the pipe non-blocking the rest of a line is written when there is room."""
    os.set_blocking(pipe.end, False)
    writer = pipe.writer()
    for _ in range(200):
        writer.write(LINE)
    assert len(pipe.read(lambda content: len(content) == 200 * len(LINE))) == 200 * len(LINE)
    assert pipe.dropped == []


def test_without_a_thread_lines_wait(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no thread can be had lines are kept, and the end of the process writes what it can."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    writer = pipe.writer()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        writer.write(b"kept\n")
        assert writer.flush(DEADLINE_S)
        assert pipe.read(lambda content: content) == b"kept\n"
        writer.write(b"kept again\n")
    writer.write(b"with a thread\n")
    assert pipe.read(lambda content: content.endswith(b"thread\n")) == b"kept again\nwith a thread\n"
