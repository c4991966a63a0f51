"""What is said of entries that the metadata service lists and that were left out."""

import pytest

from sidecar.core.parsing import DroppedEntry
from sidecar.doctor.diagnose import diagnose
from sidecar.doctor.evidence import ServiceEvidence
from tests.doctor.diagnosing import DOCUMENT, GOOD, findings


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
    service = ServiceEvidence(attempts=(GOOD,), document=DOCUMENT, dropped=dropped)
    diagnoses = {
        diagnosis.cause.name: diagnosis.evidence for diagnosis in diagnose(findings(service=service))
    }

    assert diagnoses["unusable-entries"] == (told,)
