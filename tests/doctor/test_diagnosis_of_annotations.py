"""What is said of annotations, which anybody who may patch Nodes can have written."""

import pytest

from sidecar.doctor.diagnose import diagnose
from sidecar.doctor.evidence import AgentEvidence, ClusterEvidence
from tests.doctor.diagnosing import findings

BEHIND = {
    'azure_lb_metadata_publishes_total{publisher="node",result="failed"}': 1.0,
    'azure_lb_metadata_publish_lag_seconds{publisher="node"}': 1000.0,
}


@pytest.mark.parametrize(
    ("key", "cause", "told"),
    [
        ("omitted", "annotation-budget", "the annotation omitted says ?]0;moon??[2J"),
        ("revision", "annotations-behind", "the agent has revision 0, the Node ?]0;moon??[2J, for 1000 s"),
    ],
)
def test_hostile_annotation(key: str, cause: str, told: str) -> None:
    """A value that is told reaches no terminal as it is."""
    agent = AgentEvidence(where="here", reached=True, revision="0", samples=BEHIND)
    annotations = {f"azure-lb-metadata.io/{key}": "\x1b]0;moon\x07\x9b[2J"}
    cluster = ClusterEvidence(node_name="aks-1", prefix="azure-lb-metadata.io", node_annotations=annotations)

    diagnoses = diagnose(findings(agent=agent, cluster=cluster))

    assert (told,) in [diagnosis.evidence for diagnosis in diagnoses if diagnosis.cause.name == cause]
