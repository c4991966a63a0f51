"""What a report of the audit is judged to mean."""

import json
import os
from typing import Any

import pytest

from tools.audit import judged

FINE: dict[str, Any] = {"name": "a", "version": "1", "vulns": []}
VULNERABLE = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1"}, {"id": "PYSEC-2"}]}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("dependencies", "code", "text"),
    [
        ([FINE, FINE], 0, "no known vulnerability in 2 requirements"),
        ([FINE, VULNERABLE, SKIPPED], 1, "vulnerable: b 2 (PYSEC-1, PYSEC-2)"),
        ([FINE, SKIPPED], os.EX_TEMPFAIL, "the index has no advisories for 1 of 2 requirements"),
        ([], os.EX_TEMPFAIL, "the index has no advisories for 0 of 0 requirements"),
    ],
)
def test_report(dependencies: list[dict[str, Any]], code: int, text: str) -> None:
    """Vulnerable is a failure whatever else was skipped, and what was not looked up is never a pass."""
    judgement = judged(json.dumps({"dependencies": dependencies, "fixes": []}))
    assert judgement[0] == code
    assert text in judgement[1]


def test_no_report() -> None:
    """Without a report nothing is known."""
    assert judged("") == (os.EX_TEMPFAIL, "not audited: there is no report")
