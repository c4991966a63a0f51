"""What is found on a well node, from which the tests of the diagnosis depart."""

from typing import Any

from sidecar.doctor.evidence import Environment, Findings, ServiceAttempt
from tests.support.states import EPOCH, answer, body, pair

WELL_KNOWN = Environment(endpoint="http://169.254.169.254", default_endpoint=True, timeout=5.0)
DOCUMENT = answer(body(public=[pair("20.1.2.3")])).document
GOOD = ServiceAttempt(at=EPOCH.utc, seconds=0.01, status=200)


def findings(environment: Environment = WELL_KNOWN, **found: Any) -> Findings:
    """What was found, at a moment that stands still."""
    return Findings(now=EPOCH.utc, environment=environment, **found)
