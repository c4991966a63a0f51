"""What was logged, as the tests ask of it."""

import pytest


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    """The fields of every log line of an event."""
    return [vars(record)["fields"] for record in caplog.records if record.message == event]
