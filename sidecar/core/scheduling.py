"""Whether a DaemonSet's pods may run on a Node, and if not, what keeps them away.

https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/ and
https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Obstacle", "Placement", "Requirement", "Taint", "Toleration"]

_TOLERATED_BY_DAEMONS = {
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/network-unavailable",
}
"""Taints that the DaemonSet controller makes its pods tolerate."""

_NEVER_COVERED = {"kubernetes.io/os", "type", "virtualization"}
"""Labels by which the chart leaves out nodes that have no metadata service for the agent."""


@dataclass(frozen=True, slots=True)
class Taint:
    """What keeps pods off a Node unless they tolerate it."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Toleration:
    """What a pod puts up with; an empty key or effect stands for any."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def covers(self, taint: Taint) -> bool:
        """Whether pods with this may run in spite of the taint."""
        return (
            self.effect in {"", taint.effect}
            and (self.key == taint.key or (not self.key and self.operator == "Exists"))
            and (self.operator == "Exists" or self.value == taint.value)
        )


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a Node's labels must match."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def met(self, labels: Mapping[str, str]) -> bool:
        """Whether they do; an operator that is not known counts as met."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt" | "Lt":
                return self._compared(value)
        return True

    def _compared(self, value: str | None) -> bool:
        try:
            given, bound = int(value or ""), int(self.values[0])
        except (ValueError, IndexError):
            return False
        return given > bound if self.operator == "Gt" else given < bound


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a Node gets no pod."""

    what: str
    """``taint sku=gpu:NoSchedule`` or ``label kubernetes.io/os=windows``."""
    remedy: str = ""
    """The chart's value that would help; empty when none would."""

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}" if self.remedy else self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the pods of a DaemonSet may run."""

    tolerations: Sequence[Toleration] = ()
    selector: Mapping[str, str] = field(default_factory=dict)
    """Labels that a Node must have."""
    terms: Sequence[Sequence[Requirement]] = ()
    """Required node affinity: all of at least one of them; none is no requirement."""

    def obstacles(self, *, labels: Mapping[str, str], taints: Sequence[Taint]) -> tuple[Obstacle, ...]:
        """What keeps the pods off a Node; empty when nothing does."""
        required = [Requirement(key, "In", (value,)) for key, value in self.selector.items()]
        unmet = [each for each in required if not each.met(labels)]
        # Of several terms, the one that fails least is the easiest to mend.
        failures = sorted(([each for each in term if not each.met(labels)] for term in self.terms), key=len)
        unmet += next(iter(failures), [])
        found = [_label(each, labels) for each in unmet]
        found += [_taint(taint) for taint in taints if not self._tolerates(taint)]
        return tuple(dict.fromkeys(found))

    def _tolerates(self, taint: Taint) -> bool:
        return (
            taint.effect == "PreferNoSchedule"
            or taint.key in _TOLERATED_BY_DAEMONS
            or any(each.covers(taint) for each in self.tolerations)
        )


def _taint(taint: Taint) -> Obstacle:
    return Obstacle(f"taint {taint}", "set nodes=all")


def _label(requirement: Requirement, labels: Mapping[str, str]) -> Obstacle:
    key = requirement.key
    what = f"label {key}={labels[key]}" if key in labels else f"no label {key}"
    return Obstacle(what, "" if key in _NEVER_COVERED else "change nodeSelector or nodeExpressions")
