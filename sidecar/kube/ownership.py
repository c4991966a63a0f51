"""Which annotations a field manager owns, as an object's ``managedFields`` say it.

https://kubernetes.io/docs/reference/using-api/server-side-apply/ and ``FieldsV1`` of the API
reference: sets of fields as nested objects, a field's name after ``f:``.
"""

from collections.abc import Iterable, Set as AbstractSet

__all__ = ["applied_at", "owners", "solely_applied"]


def solely_applied(managed_fields: Iterable[object], *, manager: str) -> set[str]:
    """The annotations that this manager applied and nobody else owns: what its empty apply removes.

    Args:
        managed_fields: Decoded JSON; what is no entry of managed fields counts for nothing.
        manager: Name of the field manager.
    """
    own: set[str] = set()
    others: set[str] = set()
    for entry in managed_fields:
        if isinstance(entry, dict):
            # A subresource is another owner, though of the same name.
            identity = (entry.get("manager"), entry.get("operation"), entry.get("subresource") or "")
            (own if identity == (manager, "Apply", "") else others).update(_annotations(entry))
    return own - others


def applied_at(managed_fields: Iterable[object], *, manager: str) -> str:
    """When this manager last changed the object by applying, as it stands there; empty if never."""
    for entry in managed_fields:
        if isinstance(entry, dict) and (entry.get("manager"), entry.get("operation")) == (manager, "Apply"):
            time = entry.get("time")
            return time if isinstance(time, str) else ""
    return ""


def owners(managed_fields: Iterable[object], keys: AbstractSet[str]) -> set[str]:
    """The field managers that own at least one of these annotations, in whatever way.

    Args:
        managed_fields: Decoded JSON; what is no entry of managed fields counts for nothing.
        keys: Of the annotations.
    """
    entries = [entry for entry in managed_fields if isinstance(entry, dict)]
    managers = [entry.get("manager") for entry in entries if keys & _annotations(entry)]
    return {manager for manager in managers if isinstance(manager, str)}


def _annotations(entry: dict[str, object]) -> set[str]:
    fields: object = entry
    for name in ("fieldsV1", "f:metadata", "f:annotations"):
        fields = fields.get(name) if isinstance(fields, dict) else None
    return {key.removeprefix("f:") for key in fields if key != "."} if isinstance(fields, dict) else set()
