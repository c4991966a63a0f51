"""One line per event: a stable event name and named fields, as JSON for machines or text for people."""

import json
import logging
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, TextIO

from pythonjsonlogger.json import JsonFormatter

__all__ = ["EVENTS", "FIELDS", "Event", "LogFormat", "Recurring", "configure", "log", "power_of_two"]

LogFormat = Literal["json", "text"]

_FIELDS = "fields"
"""The attribute of a log record that holds the named fields."""


FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "admin_listen": "where probes and metrics are served, as settings write it; `none`",
        "before": "the status before",
        "bytes": "of keys and values",
        "cause": "the member of the entry that is wrong, `entry` if it is no object, or `too-many`",
        "changes": "what came and went, as in the annotation `last-changes`, at most 20 items",
        "count": "how many",
        "detail": "why an attempt failed, in words",
        "document": "whether a whole document was found",
        "entries": "how many entries the three lists have together",
        "entry": "the beginning of the first one",
        "error": "what went wrong, in words",
        "failures": "in a row",
        "keys": "how many annotations",
        "list": "as the metadata service calls it",
        "lists": "the lists that are missing, joined by commas",
        "listen": "where the HTTP API is served, as settings write it; `none`",
        "nearest": "the setting that it resembles",
        "node": "name of the Node",
        "note": "the text of the Event",
        "observed_at": "time of the last good answer",
        "omitted": "what the budget left out, as in the annotation `omitted`",
        "path": "of the request",
        "prefix": "domain of annotation keys",
        "publisher": "`node`, `file` or `events`",
        "reason": "why the last attempt failed: `not-ready`, `throttled` and so on; of an Event, its reason",
        "refused": "the api-version that was refused",
        "resource_version": "of the Node after the write",
        "revision": "of the document",
        "seconds": "since the last answer, or the start",
        "source": "`imds`, `upstream` or `restored`",
        "status": "`starting`, `ok`, `stale` or `no-metadata`",
        "suppressed": "errors of the same kind that were not logged since the last one",
        "traceback": "where in the program",
        "using": "the api-version that is used instead",
        "variable": "name of the environment variable",
        "version": "of the agent",
        "was": "the reason of the failures before",
        "withdrawn_after_seconds": "how long they must be missing to be withdrawn",
    }
)
"""What each field means, in every event that has it."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a log line tells."""

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


# What is logged goes nowhere until logging is configured: the output of a command is its own.
logging.getLogger("sidecar").addHandler(logging.NullHandler())


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


def configure(*, log_format: LogFormat | None, level: str, stream: TextIO | None = None) -> None:
    """Send all logging of the process to ``stream``.

    Args:
        log_format: ``json``, ``text``, or ``None`` for text on a terminal and JSON elsewhere.
        level: Name of a level of :mod:`logging`, in any case.
        stream: Where the lines go; ``None`` is standard error.
    """
    stream = stream or sys.stderr
    as_text = log_format == "text" or (log_format is None and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_TextFormatter() if as_text else _JSONFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # A client library's retries and connections are noise here.
    for name in ("aiohttp", "asyncio", "kubernetes", "urllib3"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


class _JSONFormatter(JsonFormatter):
    """``{"time": …, "level": …, "event": …, …fields}`` on one line of ASCII."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(message)s",
            rename_fields={"levelname": "level", "message": "event", "exc_info": "traceback"},
            json_ensure_ascii=True,
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        fields = log_data.pop(_FIELDS, {})
        return super().process_log_record({"time": log_data.pop("time"), **log_data, **fields})

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        super().add_fields(log_data, record, message_dict)
        log_data["time"] = _timestamp(record)
        log_data["level"] = record.levelname.lower()


class _TextFormatter(logging.Formatter):
    """``2026-01-02T03:04:05.678Z info event key=value …``; values with spaces are quoted."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, _FIELDS, {})
        words = [_timestamp(record), record.levelname.lower(), record.getMessage()]
        words += [f"{name}={_word(value)}" for name, value in fields.items()]
        if record.exc_info:
            words.append(self.formatException(record.exc_info))
        return " ".join(words)


def _word(value: object) -> str:
    text = str(value)
    plain = text.isascii() and text.isprintable() and not set(text) & set(' "=') and text
    return text if plain else json.dumps(text)


def _timestamp(record: logging.LogRecord) -> str:
    utc = datetime.fromtimestamp(record.created, tz=UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"
