"""One line per event: a stable event name and named fields, as JSON for machines or text for people."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from pythonjsonlogger.json import JsonFormatter

__all__ = ["LogFormat", "configure", "log"]

LogFormat = Literal["json", "text"]

_FIELDS = "fields"
"""The attribute of a log record that holds the named fields."""


def log(logger: logging.Logger, level: int, event: str, /, **fields: object) -> None:
    """Log one event.

    Args:
        logger: The logger of the calling module.
        level: As in :mod:`logging`.
        event: Stable name, words joined by hyphens.
        fields: Printable values; ``None`` is left out.
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
