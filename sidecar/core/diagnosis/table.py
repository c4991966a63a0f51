"""All causes, in the order in which they are named where several apply."""

from collections.abc import Mapping
from types import MappingProxyType

from sidecar.core.diagnosis.cause import Cause, Diagnosis, Sureness
from sidecar.core.diagnosis.other_causes import (
    AGENT_CAUSES,
    CLOCK_CAUSES,
    CLUSTER_CAUSES,
    DATA_CAUSES,
    SETTING_CAUSES,
)
from sidecar.core.diagnosis.service_causes import SERVICE_CAUSES

__all__ = ["CAUSES", "RANK", "found"]

CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        cause.name: cause
        for cause in (
            *CLOCK_CAUSES,
            *AGENT_CAUSES,
            *SERVICE_CAUSES,
            *CLUSTER_CAUSES,
            *DATA_CAUSES,
            *SETTING_CAUSES,
        )
    }
)
"""By name. What explains others stands before them: a wrong clock before the token it makes invalid."""

RANK: Mapping[str, int] = MappingProxyType({name: rank for rank, name in enumerate(CAUSES)})
"""The place of each cause in that order."""


def found(name: str, sure: Sureness, *evidence: str) -> Diagnosis:
    """A diagnosis by the name of its cause; empty sentences are left out."""
    return Diagnosis(CAUSES[name], sure, tuple(filter(None, evidence)))
