"""What is said of entries that the metadata service lists and that were left out."""

import pytest

from sidecar.core.diagnosis import Findings, diagnose
from sidecar.core.diagnosis.evidence import ServiceEvidence, Surroundings, Try
from sidecar.core.parsing import DroppedEntry
from tests.support.states import EPOCH, answer, body, pair

DOCUMENT = answer(body(public=[pair("20.1.2.3")])).document
SURROUNDINGS = Surroundings(endpoint="http://169.254.169.254", default_endpoint=True, timeout=5.0)


@pytest.mark.parametrize(
    ("dropped", "told"),
    [
        (
            [DroppedEntry("inboundRules", "backendPort", "{}"), DroppedEntry("outboundRules", "entry", "2")],
            "2 left out; the first one, of inboundRules, has a wrong backendPort: {}",
        ),
        (
            [DroppedEntry("outboundRules", "entry", "'x'")],
            "1 left out; the first one, of outboundRules, is no object: 'x'",
        ),
        (
            [DroppedEntry("inboundRules", "too-many", "{7}", count=7_000)],
            "7000 left out; the first one, of inboundRules, is beyond the most that are looked at: {7}",
        ),
        (
            [
                DroppedEntry("inboundRules", "protocol", "{2}"),
                DroppedEntry("inboundRules", "too-many", "{}", count=9),
            ],
            "10 left out; the first one, of inboundRules, has a wrong protocol: {2}",
        ),
    ],
)
def test_left_out(dropped: list[DroppedEntry], told: str) -> None:
    """All entries are counted, and the sentence says what is wrong with the first one."""
    good = Try(at=EPOCH.utc, seconds=0.01, status=200)
    service = ServiceEvidence(tries=(good,), document=DOCUMENT, dropped=dropped)
    diagnoses = {
        diagnosis.cause.name: diagnosis.evidence
        for diagnosis in diagnose(Findings(now=EPOCH.utc, surroundings=SURROUNDINGS, service=service))
    }

    assert diagnoses["unusable-entries"] == (told,)
