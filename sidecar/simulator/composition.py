"""From the settings of a document to the document."""

from pydantic import JsonValue

from sidecar.simulator.conditions import DocumentSettings
from sidecar.simulator.documents import DOCUMENTS, Amounts


def origin(settings: DocumentSettings) -> str:
    """In a word where the document comes from: its name, ``inline`` or ``raw``."""
    return next((kind for kind in ("raw", "inline") if kind in settings.model_fields_set), _name(settings))


def _name(settings: DocumentSettings) -> str:
    return settings.name or "all"


def composed(settings: DocumentSettings) -> JsonValue:
    """The document as JSON; None is "no load balancer metadata", or a body that is raw."""
    if settings.raw is not None:
        return None
    document = _unbent(settings)
    inner = document.get("loadbalancer") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(inner, dict):
        return document
    replaced: dict[str, JsonValue] = {name: value for name, value in settings.replace.items()}  # noqa: C416 -- widens the type of the keys
    kept = {name: value for name, value in inner.items() if name not in settings.omit}
    return {**document, "loadbalancer": {**kept, **replaced}}


def _unbent(settings: DocumentSettings) -> JsonValue:
    if "inline" in settings.model_fields_set:
        return settings.inline
    return DOCUMENTS[_name(settings)].build(Amounts(rules=settings.rules, outbound_ips=settings.outbound_ips))


def is_absent(settings: DocumentSettings) -> bool:
    """Whether the service says that there is no metadata; an inline null is a document, if a wrong one."""
    return origin(settings) not in ("raw", "inline") and composed(settings) is None


def rotates(settings: DocumentSettings) -> bool:
    """Whether every answer has another order of entries."""
    return settings.rotate or (settings.name is not None and DOCUMENTS[settings.name].rotates)


def rotated(document: JsonValue, turns: int) -> JsonValue:
    """The document with every list turned by so many places."""
    if isinstance(document, dict):
        return {name: rotated(value, turns) for name, value in document.items()}
    if isinstance(document, list) and document:
        places = turns % len(document)
        return document[places:] + document[:places]
    return document
