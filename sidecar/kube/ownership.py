"""Which annotations a field manager owns, as an object's ``managedFields`` say it.

https://kubernetes.io/docs/reference/using-api/server-side-apply/ and ``FieldsV1`` of the API
reference: sets of fields as nested objects, a field's name after ``f:``.
"""

from collections.abc import Iterable

__all__ = ["solely_applied"]


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


def _annotations(entry: dict[str, object]) -> set[str]:
    fields: object = entry
    for name in ("fieldsV1", "f:metadata", "f:annotations"):
        fields = fields.get(name) if isinstance(fields, dict) else None
    return {key.removeprefix("f:") for key in fields if key != "."} if isinstance(fields, dict) else set()
