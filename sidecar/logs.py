"""One line per event: a stable event name and named fields, as JSON for machines or text for people."""

import json
import logging
import os
import select
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal, TextIO

_logger = logging.getLogger(__name__)

LogFormat = Literal["json", "text"]

# Without `configure`, log lines go nowhere: a command's output is its own.
logging.getLogger("sidecar").addHandler(logging.NullHandler())

_MOST_BYTES = 1024 * 1024
"""Of the lines that wait to be written: some thousands."""

_LAST_SECONDS = 2.0
"""How long the end of the process waits for log lines to be written."""

_FIELDS = "fields"
"""The attribute of a log record that holds the named fields."""

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "admin_listen": "where probes and metrics are served, as settings write it; `none`",
        "before": "the status or the state before",
        "by": "`agent` if our own field manager did it, as another agent with this prefix does; else `other`",
        "bytes": "of keys and values",
        "address": "that connections came from",
        "cause": "the member of the entry that is wrong, `entry` if it is no object, or `too-many`",
        "changes": "what came and went, as in the annotation `last-changes`, at most 20 items",
        "count": "how many",
        "detail": "why an attempt failed, in words",
        "document": "whether a whole document was found",
        "entries": "how many entries the three lists have together",
        "entry": "the beginning of the first one",
        "error": "what went wrong, in words",
        "failures": "in a row",
        "failed": "connections that brought no address, each with its probe, at most 8",
        "files": "how many files may be open",
        "keys": "how many annotations",
        "listed": "whether it is declared or configured",
        "list": "as the metadata service calls it",
        "lists": "the lists that are missing, joined by commas",
        "listen": "where the HTTP API is served, as settings write it; `none`",
        "managers": "the field managers that own what was changed, joined by commas, at most 5",
        "names": "of the annotations, without the prefix, joined by commas",
        "nearest": "the setting that it resembles",
        "node": "name of the Node",
        "note": "the text of the Event",
        "observed": "addresses, joined by commas",
        "observed_at": "time of the last good answer",
        "omitted": "what the budget left out, as in the annotation `omitted`",
        "path": "of the request",
        "prefix": "domain of annotation keys",
        "probe": "as the setting names it",
        "published": "declared networks and egress addresses, joined by commas",
        "publisher": "`node`, `file` or `events`",
        "reason": "why the last attempt failed: `not-ready`, `throttled` and so on; of an Event, its reason",
        "refused": "the api-version that was refused",
        "resource_version": "of the Node after the write",
        "revision": "of the document",
        "seconds": "since the last answer, or the start",
        "source": "`imds`, `upstream` or `restored`",
        "state": "`agrees`, `unlisted`, `inside`, `unanswered` or `off`",
        "status": "`starting`, `ok`, `stale` or `no-metadata`",
        "suppressed": "errors of the same kind that were not logged since the last one",
        "traceback": "where in the program",
        "using": "what is used instead",
        "variable": "name of the environment variable",
        "version": "of the agent",
        "wanted": "what the setting says",
        "was": "the reason of the failures before",
        "withdrawn_after_seconds": "how long they must be missing to be withdrawn",
    }
)
"""What each field means, in every event that has it."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a log line reports."""

    level: Literal["debug", "info", "warning", "error", "critical"]
    """The highest it is logged at."""
    text: str
    fields: tuple[str, ...] = ()
    """Of ``FIELDS``; a line has those of them that have a value."""


def _event(level: Literal["debug", "info", "warning", "error", "critical"], text: str, fields: str) -> Event:
    return Event(level, text, tuple(fields.split()))


EVENTS: Mapping[str, Event] = MappingProxyType(
    {
        "started": _event("info", "The agent listens.", "version listen admin_listen"),
        "stopping": _event("info", "It was asked to stop.", ""),
        "stopped": _event("info", "It has ended.", ""),
        "unknown-variable": _event("warning", "A variable that is no setting.", "variable nearest"),
        "clients-limited": _event(
            "warning",
            "The limit of open files is too low for --max-clients; fewer are served.",
            "wanted using files",
        ),
        "taken-up": _event(
            "info", "What an earlier run published was found.", "revision document observed_at"
        ),
        "poll-failed": _event("warning", "An attempt failed; once for each new reason.", "reason detail"),
        "poll-still-failing": _event(
            "warning",
            "A fault lasts: when it is 2, 4, 8 and so on times stale-after old.",
            "reason detail failures seconds",
        ),
        "poll-recovered": _event("info", "The first answer after failures.", "failures was"),
        "status-changed": _event("warning", "Another status; `info` when it is ok.", "before status reason"),
        "document-changed": _event(
            "info", "Another document is published.", "revision entries source changes"
        ),
        "entries-dropped": _event(
            "warning",
            "Wrong entries that the answer before did not have; the first is described.",
            "count list cause entry",
        ),
        "lists-missing": _event(
            "warning",
            "Lists begin to be missing from the answers, and are still published.",
            "lists withdrawn_after_seconds",
        ),
        "api-version-refused": _event(
            "warning", "The service refuses the api-version and names others.", "refused using"
        ),
        "annotated": _event(
            "info", "The Node was written.", "node keys bytes status omitted resource_version"
        ),
        "annotations-changed": _event(
            "warning",
            "Somebody else changed our annotations since they were last seen: an agent of another release "
            "with this prefix, or a person. They are put right, at most once per resync.",
            "node names managers by",
        ),
        "annotations-removed": _event(
            "warning",
            "Annotations of ours that are not due, and that an apply leaves because somebody else owns them, "
            "were removed.",
            "node names count resource_version",
        ),
        "egress-address-seen": _event(
            "warning",
            "A probe saw connections come from an address that was not observed before; `info` when it is "
            "declared or configured.",
            "address listed probe",
        ),
        "egress-state-changed": _event(
            "warning",
            "What probes observed compares otherwise with what is published; `info` when it agrees.",
            "before state observed published failed",
        ),
        "event-sent": _event("info", "An Event about the Node was sent.", "node reason note count"),
        "prefix-left": _event("info", "The keys of an earlier prefix were removed.", "node prefix"),
        "publish-failed": _event(
            "warning",
            "A publisher failed: another error, or the 2nd, 4th, 8th and so on in a row.",
            "publisher failures error",
        ),
        "publish-recovered": _event("info", "A publisher works again.", "publisher failures"),
        "request-malformed": _event("debug", "A client sent what is no HTTP request.", "error"),
        "request-failed": _event(
            "error",
            "A defect of the agent cost a client its answer; the 1st, 2nd, 4th, 8th and so on of a kind.",
            "path error traceback count",
        ),
        "connection-failed": _event(
            "error",
            "A defect of the agent cost a connection; the 1st, 2nd, 4th, 8th and so on of a kind.",
            "error count",
        ),
        "accept-failed": _event(
            "error", "No connection can be accepted; at most once a minute.", "error suppressed"
        ),
        "loop-failed": _event(
            "error",
            "A defect of the agent that nothing handled; at most once a minute of a kind.",
            "error traceback suppressed",
        ),
        "lines-dropped": _event(
            "warning", "Log lines that could not be written were dropped; now they can.", "count"
        ),
        "failed": _event("critical", "A defect of the agent ends it.", "traceback"),
    }
)
"""Every line that the agent logs, by its stable name; ``docs/logs.md`` is made from this."""


class Recurring:
    """Says when a fault of some kind is worth another line: the 1st, 2nd, 4th, 8th and so on time."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, kind: str) -> int | None:
        """Count one more; gives the number if it is to be logged. There must be few kinds."""
        self._counts[kind] += 1
        count = self._counts[kind]
        return count if power_of_two(count) else None


def power_of_two(count: int) -> bool:
    """Whether a count from 1 on is 1, 2, 4, 8 and so on: when a fault that recurs is worth a line."""
    return count & (count - 1) == 0


def log(logger: logging.Logger, level: int, event: str, /, **fields: object) -> None:
    """Log one event.

    Args:
        logger: The logger of the calling module.
        level: As in :mod:`logging`.
        event: Stable name, words joined by hyphens: one of ``EVENTS``.
        fields: Printable values, of the event's fields; ``None`` is left out.
    """
    if logger.isEnabledFor(level):
        present = {name: value for name, value in fields.items() if value is not None}
        logger.log(level, event, extra={_FIELDS: present}, stacklevel=2)


def configure(
    *,
    log_format: LogFormat | None,
    level: str,
    stream: TextIO | None = None,
    on_dropped: Callable[[], object] = lambda: None,
) -> None:
    """Send all logging of the process to ``stream``.

    Args:
        log_format: ``json``, ``text``, or ``None`` for text on a terminal and JSON elsewhere.
        level: Name of a level of :mod:`logging`, in any case.
        stream: Where the lines go; ``None`` is standard error, which never blocks the caller: a line
            that it does not take is dropped, counted, and reported once it takes some again.
        on_dropped: Called for each line that is dropped.
    """
    terminal = stream or sys.stderr
    as_text = log_format == "text" or (log_format is None and terminal is not None and terminal.isatty())
    handler: logging.Handler
    if stream is not None:
        handler = logging.StreamHandler(stream)
    else:
        try:
            descriptor = sys.stderr.fileno()
        except AttributeError:  # it is closed, and its number may be that of something else by now
            handler = logging.NullHandler()
        except OSError:  # nothing that the system knows of: it blocks nobody
            handler = logging.StreamHandler(sys.stderr)
        else:
            writer = LineWriter(
                descriptor,
                on_dropped=on_dropped,
                on_recovered=lambda count: log(_logger, logging.WARNING, "lines-dropped", count=count),
            )
            handler = _Unwaiting(writer)
    handler.setFormatter(_TextFormatter() if as_text else _JSONFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # Connections that clients break are noise here.
    for name in ("aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def flushed() -> bool:
    """Wait for what was logged so far to be written, but not for long; returns whether it is."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, _Unwaiting)]
    return all(handler.flushed() for handler in handlers)


class _JSONFormatter(logging.Formatter):
    """``{"time": …, "level": …, "event": …, …fields}`` on one line of ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _timestamp(record), "level": record.levelname.lower(), "event": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line | getattr(record, _FIELDS, {}), default=_json_value)


def _json_value(value: object) -> str:
    """What JSON has no type for."""
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)


class _TextFormatter(logging.Formatter):
    """``2026-01-02T03:04:05.678Z info event key=value …``; values with spaces are quoted."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, _FIELDS, {})
        words = [_timestamp(record), record.levelname.lower(), record.getMessage()]
        for name, value in fields.items():
            text = str(value)
            plain = text.isascii() and text.isprintable() and not set(text) & set(' "=') and text
            words.append(f"{name}={text if plain else json.dumps(text)}")
        if record.exc_info:
            words.append(self.formatException(record.exc_info))
        return " ".join(words)


def _timestamp(record: logging.LogRecord) -> str:
    utc = datetime.fromtimestamp(record.created, tz=UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


class LineWriter:
    """Writes lines in the order they come, in a daemon thread; for all threads.

    The descriptor is written to without Python's buffers: their lock would be held by a thread that hangs,
    and the end of the process wants it.
    """

    def __init__(
        self, descriptor: int, *, on_dropped: Callable[[], object], on_recovered: Callable[[int], object]
    ) -> None:
        """Write nothing yet.

        Args:
            descriptor: Where the lines go; stays open.
            on_dropped: Called for each line that is dropped.
            on_recovered: Called with the number of dropped lines, once lines are written again.
        """
        self._descriptor = descriptor
        self._on_dropped = on_dropped
        self._on_recovered = on_recovered
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        """Of the lines that wait, and of that which is being written."""
        self._dropped = 0
        self._running = False

    def write(self, line: bytes) -> None:
        """Have a line written, or drop it when too much waits already; returns at once."""
        with self._changed:
            dropped = self._bytes + len(line) > _MOST_BYTES
            if dropped:
                self._dropped += 1
            else:
                self._waiting.append(line)
                self._bytes += len(line)
                self._changed.notify_all()
            self._start()
            if not self._running:
                self._write_without_waiting()
        if dropped:
            self._on_dropped()

    def flush(self, seconds: float) -> bool:
        """Wait until all lines are written, but not longer; returns whether they are."""
        with self._changed:
            self._start()
            if not self._running:
                self._write_without_waiting()
                return not self._bytes
            return self._changed.wait_for(lambda: not self._bytes, timeout=seconds)

    def _write_without_waiting(self) -> None:
        """Where no thread can be had, write as far as that is sure to take no time."""
        writable = select.poll()
        writable.register(self._descriptor, select.POLLOUT)
        while self._waiting and writable.poll(0):
            line = self._waiting.popleft()
            # A pipe that is writable has room for so much.
            try:
                written = os.write(self._descriptor, line[: select.PIPE_BUF])
            except OSError:
                written = len(line)  # Nobody can ever read it.
            self._bytes -= written
            if line[written:]:
                self._waiting.appendleft(line[written:])

    def _start(self) -> None:
        """Begin to write, if that has not been possible so far."""
        if self._running:
            return
        self._running = True
        try:
            threading.Thread(target=self._work, name="log", daemon=True).start()
        except RuntimeError:  # no new thread can be had: tried again with the next line
            self._running = False

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                line = self._waiting.popleft()
            written, rest = True, line
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:
                    select.select([], [self._descriptor], [])  # somebody has made it non-blocking
                except OSError:
                    # Nobody can ever read it: the reader is gone, or the disk is full.
                    written = False
                    break
            with self._changed:
                self._bytes -= len(line)
                if not written:
                    self._dropped += 1
                recovered = self._dropped if written and not self._waiting else 0
                self._dropped -= recovered
                self._changed.notify_all()
            if not written:
                self._on_dropped()
            elif recovered:
                self._on_recovered(recovered)


class _Unwaiting(logging.Handler):
    """Hands lines to a writer, and does not wait for it."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Have one record written."""
        self._writer.write(f"{self.format(record)}\n".encode(errors="backslashreplace"))

    def flushed(self) -> bool:
        """Wait a little; returns whether all is written."""
        return self._writer.flush(_LAST_SECONDS)

    def flush(self) -> None:
        """Wait a little for what is not written yet; :mod:`logging` calls this at the end of the process."""
        self.flushed()
