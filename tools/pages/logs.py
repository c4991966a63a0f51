"""docs/logs.md, from the catalogue of events in ``sidecar/logs.py``: ``make logs-docs``."""

import sys
from collections.abc import Iterator
from pathlib import Path

from sidecar.logs import EVENTS, FIELDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "logs.md"

INTRODUCTION = """\
# Log lines

The agent logs to standard error, one line per event: JSON when that is no terminal (`--log-format`), with \
`time` (RFC 3339, UTC), `level` and `event` first, then the fields of the event.

```json
{"time": "2026-01-02T03:04:05.678Z", "level": "warning", "event": "poll-failed", "reason": "throttled", \
"detail": "HTTP 429: Too many requests"}
```

The names of events and fields are stable: within a major version they are only added. Fields without a \
value are left out. A change of state is logged once. What is the same as before is not logged: a fault that \
lasts is repeated at rising intervals, and its end is logged. Values that come from elsewhere are printable \
ASCII and of bounded length.

Warnings of libraries, of which there should be none, have their text as `event`; `azure-lb-metadata \
simulate` writes lines of its own, for people.

This page is made from the program by `make logs-docs`; a test fails when it is out of date.
"""


def page() -> str:
    """The text of docs/logs.md."""
    return "\n".join([INTRODUCTION, "## Events\n", *_events(), "\n## Fields\n", *_fields(), ""])


def _events() -> Iterator[str]:
    yield "| event | level | fields | when |"
    yield "|---|---|---|---|"
    for name, event in EVENTS.items():
        fields = ", ".join(f"`{field}`" for field in event.fields)
        yield f"| `{name}` | {event.level} | {fields} | {event.text} |"


def _fields() -> Iterator[str]:
    yield "| field | meaning |"
    yield "|---|---|"
    for name, text in sorted(FIELDS.items()):
        yield f"| `{name}` | {text} |"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
