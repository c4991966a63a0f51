"""What is said of the data: entries that were left out, and addresses that others saw."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from sidecar.core.parsing import DroppedEntry
from sidecar.doctor.diagnose import diagnose
from sidecar.doctor.evidence import ServiceEvidence
from tests.doctor.diagnosing import DOCUMENT, GOOD, WELL_KNOWN, findings
from tests.support.states import answer, body, inbound, pair


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


@pytest.mark.parametrize(
    ("seen", "confidence"),
    [
        (["20.1.2.3"], None),
        (["52.1.1.1"], None),
        (["20.20.20.20"], None),
        (["20.1.2.3", "52.1.1.1"], None),
        (["198.51.100.7"], "certain"),
        (["20.1.2.3", "198.51.100.7"], "certain"),
    ],
)
def test_seen_from(seen: list[str], confidence: str | None) -> None:
    """An address of the document is no NAT gateway's, even if it is not in use; any other one is."""
    listed = body(
        public=[pair("20.1.2.3")],
        outbound=[pair("52.1.1.1")],
        inbound_rules=[inbound("20.20.20.20", 80, 30080)],
    )
    environment = replace(WELL_KNOWN, seen_from=tuple(map(ip_address, seen)))
    service = ServiceEvidence(attempts=(GOOD,), document=answer(listed).document)
    diagnoses = diagnose(findings(environment, service=service))
    named = {diagnosis.cause.name: diagnosis.confidence for diagnosis in diagnoses}
    assert named.get("nat-gateway-or-route-table") == confidence
