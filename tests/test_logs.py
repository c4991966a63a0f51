"""One line per event."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from sidecar.core.outcome import Reason
from sidecar.logs import LogFormat, Recurring, configure, flushed, log

logger = logging.getLogger("tests.logs")
NOISY = ("aiohttp", "asyncio")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Give the process its logging back; the handlers are taken away first, so that none is closed."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in NOISY}
    root.handlers[:] = []
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def lines(log_format: LogFormat, *events: tuple[str, dict[str, object]], level: str = "info") -> list[str]:
    """What these events, logged at level info, print."""
    stream = io.StringIO()
    configure(log_format=log_format, level=level, stream=stream)
    for event, fields in events:
        log(logger, logging.INFO, event, **fields)
    return stream.getvalue().splitlines()


def as_json(**fields: object) -> dict[str, Any]:
    """The fields of one event with these fields, logged as JSON."""
    (line,) = lines("json", ("some-event", fields))
    assert line.isascii()
    loaded: dict[str, Any] = json.loads(line)
    return loaded


def as_text(**fields: object) -> str:
    """The line of one event with these fields, logged as text, without its time."""
    (line,) = lines("text", ("some-event", fields))
    return line.partition(" ")[2]


def test_json_line_begins_with_time_level_and_event() -> None:
    """A JSON line is one object: time, level and event first, then the fields in order."""
    line = as_json(revision="d3a81c8f68f6aa3a", entries=3)
    assert list(line) == ["time", "level", "event", "revision", "entries"]
    assert (line["level"], line["event"], line["entries"]) == ("info", "some-event", 3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


def test_text_line_is_words() -> None:
    """A text line is time, level, event and `key=value` words."""
    assert as_text(revision="d3a81c8f68f6aa3a", entries=3) == (
        "info some-event revision=d3a81c8f68f6aa3a entries=3"
    )


def test_none_is_left_out() -> None:
    """A field that is None does not appear; zero, false and empty do."""
    assert as_text(reason=None, count=0, ready=False, text="") == (
        'info some-event count=0 ready=False text=""'
    )
    assert "reason" not in as_json(reason=None)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("two words", '"two words"'),
        ('say "no"', '"say \\"no\\""'),
        ("a=b", '"a=b"'),
        ("line\nforged level=error", '"line\\nforged level=error"'),
        ("\x1b[31m", '"\\u001b[31m"'),
        ("\u202ecaf\u00e9", '"\\u202ecaf\\u00e9"'),
        ("\ud800", '"\\ud800"'),
    ],
)
def test_hostile_value_stays_one_word(value: str, word: str) -> None:
    """A value with spaces, quotes, control or foreign characters is quoted and escaped, on one line."""
    assert as_text(detail=value) == f"info some-event detail={word}"
    assert as_json(detail=value)["detail"] == value


def test_values_of_our_types_are_printable() -> None:
    """Addresses and the words of the contract are logged as their text in both formats."""
    fields = {"address": ip_address("2001:db8::1"), "reason": Reason.NOT_READY}
    assert as_text(**fields) == "info some-event address=2001:db8::1 reason=not-ready"
    assert as_json(**fields).items() >= {"address": "2001:db8::1", "reason": "not-ready"}.items()


def test_level_is_a_threshold_in_any_case() -> None:
    """Events below the level are not printed; the level's name may be in any case."""
    assert lines("text", ("quiet", {}), level="WARNING") == []
    assert len(lines("text", ("loud", {}), level="Info")) == 1


def test_terminal_gets_text_and_all_else_json() -> None:
    """Without a format, people at a terminal get text and everything else gets JSON."""
    for stream, starts in ((Terminal(), "2"), (io.StringIO(), "{")):
        configure(log_format=None, level="info", stream=stream)
        log(logger, logging.INFO, "some-event")
        assert stream.getvalue().startswith(starts)


def test_format_wins_over_the_terminal() -> None:
    """A format that is named is used, terminal or not."""
    stream = Terminal()
    configure(log_format="json", level="info", stream=stream)
    log(logger, logging.INFO, "some-event")
    assert json.loads(stream.getvalue())["event"] == "some-event"


def test_standard_error_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a stream the lines go to standard error, since standard output is for answers."""
    configure(log_format="text", level="info")
    log(logger, logging.INFO, "some-event")
    captured = capsys.readouterr()
    assert (captured.out, captured.err.endswith(" info some-event\n")) == ("", True)


def test_descriptor_of_standard_error_is_written_to(capfd: pytest.CaptureFixture[str]) -> None:
    """Lines reach the descriptor in their order, without anybody having waited for them."""
    configure(log_format="text", level="info")
    for count in range(100):
        log(logger, logging.INFO, "some-event", count=count)
    assert flushed()
    printed = [line.rpartition("=")[2] for line in capfd.readouterr().err.splitlines()]
    assert printed == [str(count) for count in range(100)]


def test_closed_standard_error_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without standard error nothing is logged, and nothing is raised."""
    monkeypatch.setattr(sys, "stderr", None)
    configure(log_format=None, level="info")
    log(logger, logging.INFO, "some-event")
    assert flushed()


def test_configuring_again_replaces_the_output() -> None:
    """After a second configuration lines are printed once, in the new place."""
    first, second = io.StringIO(), io.StringIO()
    configure(log_format="text", level="info", stream=first)
    configure(log_format="text", level="info", stream=second)
    log(logger, logging.INFO, "some-event")
    assert (first.getvalue(), second.getvalue().count("some-event")) == ("", 1)


@pytest.mark.parametrize("name", NOISY)
def test_libraries_speak_from_warning_on(name: str) -> None:
    """Client libraries are heard from level warning on, and at an error threshold from error on."""
    stream = io.StringIO()
    configure(log_format="text", level="debug", stream=stream)
    logging.getLogger(name).info("connection made")
    logging.getLogger(name).warning("connection lost")
    configure(log_format="text", level="error", stream=stream)
    logging.getLogger(name).warning("connection lost again")
    assert [line.partition(" ")[2] for line in stream.getvalue().splitlines()] == ["warning connection lost"]


def log_of_a_failure(log_format: LogFormat) -> str:
    """What is logged of an unexpected error."""
    stream = io.StringIO()
    configure(log_format=log_format, level="info", stream=stream)
    try:
        int("unexpected")
    except ValueError:
        logger.exception("task-failed")
    return stream.getvalue()


def test_traceback_is_a_field_of_json() -> None:
    """An unexpected error keeps its traceback, in JSON within the one line."""
    (line,) = log_of_a_failure("json").splitlines()
    record = json.loads(line)
    assert (record["event"], record["level"]) == ("task-failed", "error")
    assert record["traceback"].splitlines()[-1].startswith("ValueError: invalid literal")


def test_traceback_follows_the_text() -> None:
    """In text the traceback stands behind the event."""
    assert " error task-failed Traceback (most recent call last):\n" in log_of_a_failure("text")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_event_of_a_library_needs_no_fields(log_format: LogFormat) -> None:
    """Records that come from elsewhere, with arguments instead of fields, are printed alike."""
    stream = io.StringIO()
    configure(log_format=log_format, level="info", stream=stream)
    logging.getLogger("elsewhere").warning("retrying %s times", 3)
    assert "retrying 3 times" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_recurring_fault_is_worth_ever_fewer_lines() -> None:
    """Of a kind the 1st, 2nd, 4th, 8th and so on time is to be logged, whatever other kinds do."""
    recurring = Recurring()
    counts = [recurring.count("one") for _ in range(20)]
    assert [count for count in counts if count] == [1, 2, 4, 8, 16]
    assert recurring.count("other") == 1
