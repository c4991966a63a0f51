"""From what ``doctor`` found to the causes that apply: pure, like the rest of the core.

=================  ==========================================================================
``evidence``       what the probes found
``cause``          a known cause, and a diagnosis
``table``          all causes in their order, by name; their texts in ``service_causes``, ``other_causes``
``clocks``         how far the own clock is from another one
``replies``        which cause a failed request to the metadata service points to
``strangers``      who answered in its place
``*_rules``        from evidence to diagnoses
=================  ==========================================================================
"""

from collections.abc import Collection

from sidecar.doctor.causes import RANK, Confidence, Diagnosis
from sidecar.doctor.evidence import Findings
from sidecar.doctor.rules_agent import (
    agent_diagnoses,
    clock_diagnoses,
    data_diagnoses,
    setting_diagnoses,
)
from sidecar.doctor.rules_cluster import cluster_diagnoses
from sidecar.doctor.rules_service import service_diagnoses

_RULES = (
    clock_diagnoses,
    agent_diagnoses,
    service_diagnoses,
    cluster_diagnoses,
    data_diagnoses,
    setting_diagnoses,
)


def diagnose(findings: Findings, *, ignored: Collection[str] = ()) -> tuple[Diagnosis, ...]:
    """The causes that apply, each once, the one that explains the others first.

    Args:
        findings: What was found.
        ignored: Names of causes that are as intended.
    """
    diagnoses: dict[str, Diagnosis] = {}
    for rule in _RULES:
        for diagnosis in rule(findings):
            name = diagnosis.cause.name
            if name in diagnoses:
                diagnosis = _together(diagnoses[name], diagnosis)  # noqa: PLW2901 - what is kept of both
            if name not in ignored:
                diagnoses[name] = diagnosis
    return tuple(sorted(diagnoses.values(), key=lambda diagnosis: RANK[diagnosis.cause.name]))


def _together(first: Diagnosis, second: Diagnosis) -> Diagnosis:
    """Two grounds for the same cause: the better one decides how sure it is."""
    order = list(Confidence)
    sure = min(first.sure, second.sure, key=order.index)
    evidence = tuple(dict.fromkeys((*first.evidence, *second.evidence)))
    return Diagnosis(first.cause, sure, evidence)
