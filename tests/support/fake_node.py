"""The annotations of a Node with their owners, as server-side apply keeps them.

As kube-apiserver 1.34 was seen to do it: a forced apply takes over what differs, shares what is equal
already, and removes what its manager alone owned and now leaves out; a no-op keeps the resourceVersion.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_uids = itertools.count(1)


@dataclass
class FakeNode:
    """One Node, without a server around it."""

    annotations: dict[str, str] = field(default_factory=dict)
    owners: dict[str, set[str]] = field(default_factory=dict)
    """The field managers of each annotation."""
    uid: str = field(default_factory=lambda: f"uid-{next(_uids)}")
    version: int = 1
    applied: dict[str, int] = field(default_factory=dict)
    """The version that each field manager's last apply made."""
    mutating: dict[str, str] = field(default_factory=dict)
    """What an admission webhook puts into every apply, over whatever it says."""
    name: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    def apply(self, annotations: Mapping[str, str], *, manager: str) -> None:
        """Server-side apply, forced."""
        before = dict(self.annotations)
        applied = {**annotations, **self.mutating}
        for key in [key for key, owners in self.owners.items() if manager in owners and key not in applied]:
            self.owners[key].discard(manager)
            if not self.owners[key]:
                self.remove(key)
        for key, value in applied.items():
            shared = self.owners.get(key, set()) if self.annotations.get(key) == value else set()
            self.annotations[key], self.owners[key] = value, {manager, *shared}
        self.version += before != self.annotations
        if before != self.annotations:
            self.applied[manager] = self.version

    def annotate(self, key: str, value: str, *, manager: str = "kubectl-annotate") -> None:
        """Somebody sets one annotation, and owns it then."""
        if self.annotations.get(key) != value:
            self.annotations[key], self.owners[key] = value, {manager}
            self.version += 1

    def remove_all(self, keys: Iterable[str]) -> None:
        """A merge patch with ``null``; a webhook may put some of them back."""
        before = dict(self.annotations)
        for key in keys:
            self.annotations.pop(key, None)
            self.owners.pop(key, None)
        self.annotations |= self.mutating
        self.version += before != self.annotations

    @property
    def managed_fields(self) -> list[dict[str, object]]:
        """Who owns what, as the API server says it; all of it by applying."""
        managers = sorted(set().union(*self.owners.values()))
        return [
            {
                "manager": manager,
                "operation": "Apply",
                "time": str(self.applied.get(manager, 0)),
                "fieldsV1": {
                    "f:metadata": {
                        "f:annotations": {
                            f"f:{key}": {} for key, owners in self.owners.items() if manager in owners
                        }
                    }
                },
            }
            for manager in managers
        ]

    def metadata_object(self) -> dict[str, Any]:
        """As the API server gives it when only metadata are asked for."""
        metadata = {
            "name": self.name,
            "uid": self.uid,
            "labels": self.labels,
            "annotations": self.annotations,
            "resourceVersion": str(self.version),
            "managedFields": self.managed_fields,
        }
        return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}

    def remove(self, key: str) -> None:
        """Somebody removes one annotation."""
        self.owners.pop(key, None)
        self.version += self.annotations.pop(key, None) is not None
