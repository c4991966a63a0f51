"""What is found on a well node, from which the tests of the diagnosis depart."""

from typing import Any

from sidecar.core.diagnosis import Findings
from sidecar.core.diagnosis.evidence import Surroundings, Try
from tests.support.states import EPOCH, answer, body, pair

__all__ = ["DOCUMENT", "GOOD", "WELL_KNOWN", "findings"]

WELL_KNOWN = Surroundings(endpoint="http://169.254.169.254", default_endpoint=True, timeout=5.0)
DOCUMENT = answer(body(public=[pair("20.1.2.3")])).document
GOOD = Try(at=EPOCH.utc, seconds=0.01, status=200)


def findings(surroundings: Surroundings = WELL_KNOWN, **found: Any) -> Findings:
    """What was found, at a moment that stands still."""
    return Findings(now=EPOCH.utc, surroundings=surroundings, **found)
