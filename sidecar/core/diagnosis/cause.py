"""A known cause, and that it applies."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Cause", "Diagnosis", "Sureness"]


class Sureness(StrEnum):
    """How well the evidence proves a cause."""

    CERTAIN = "certain"
    """Somebody said so, or nothing else looks like it."""
    LIKELY = "likely"
    """It is what usually looks like this."""
    POSSIBLE = "possible"
    """It is one of several that look like this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One known cause. Its name is a contract: scripts and runbooks refer to it."""

    name: str
    """Words joined by hyphens; also the anchor of its section in ``docs/doctor.md``."""
    summary: str
    """What is wrong, as a sentence."""
    seen: str
    """What it is told by."""
    remedy: str
    """What to do about it."""
    source: str
    """The document or repository that the facts are from; empty where they are this project's own."""

    @property
    def link(self) -> str:
        """Where it is explained, from the root of the repository."""
        return f"docs/doctor.md#{self.name}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A cause that applies."""

    cause: Cause
    sure: Sureness
    evidence: Sequence[str]
    """Sentences of what was found that points to it; at least one."""
