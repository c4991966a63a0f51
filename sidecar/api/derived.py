"""Bodies that put facts together: per private IP address, per port, over time."""

from collections.abc import Iterable
from dataclasses import replace
from importlib import resources
from typing import cast

from sidecar.api import models
from sidecar.api.bodies import Facts, Question, items
from sidecar.api.parameters import API_VERSIONS
from sidecar.api.problems import NothingError
from sidecar.core import views
from sidecar.core.addresses import endpoint
from sidecar.core.changes import OTHER, Change
from sidecar.core.document import Document, InboundRule, canonical_bytes
from sidecar.core.instant import rfc3339

__all__ = ["history", "openapi", "private_ip", "private_ips", "reachable", "versions"]

_OPENAPI = resources.files("sidecar.api").joinpath("openapi.json").read_bytes()


def private_ips(facts: Facts, question: Question) -> bytes:
    """The facts grouped per private IP address; as text, the addresses alone."""
    # Of the groups and not of the rules: what holds for any private IP address holds for this one too.
    wanted = question.filter.private_ip
    document = replace(question.filter, private_ip=None).apply(facts.document)
    groups = [group for group in views.private_ips(document) if wanted in (None, group.address)]
    return items(
        groups,
        question.form,
        text=lambda group: str(group.address),
        wire=_group,
        wrap=lambda listed: models.PrivateIPs(privateIps=listed, anyPrivateIp=_any_private_ip(document)),
    )


def private_ip(facts: Facts, question: Question) -> bytes:
    """The facts of the private IP address in the path, and those that hold for any."""
    document = facts.document
    groups = views.private_ips(document)
    found = next((group for group in groups if group.address == question.private_ip), None)
    if found is None:
        known = ", ".join(str(group.address) for group in groups) or "none"
        raise NothingError(
            f"The metadata service names no private IP address {question.private_ip} of this node. "
            f"It names: {known}."
        )
    return canonical_bytes(models.PrivateIPFacts(**_group(found), anyPrivateIp=_any_private_ip(document)))


def _group(group: views.PrivateIP) -> models.PrivateIP:
    return models.PrivateIP(
        privateIp=str(group.address),
        publicIps=[str(address) for address in group.public_ips],
        outboundIps=[str(address) for address in group.outbound_ips],
        inboundRules=_rules(group.inbound_rules),
    )


def _any_private_ip(document: Document) -> models.AnyPrivateIP:
    return models.AnyPrivateIP(inboundRules=_rules(views.any_private_ip(document)))


def _rules(rules: Iterable[InboundRule]) -> list[models.InboundRule]:
    return cast("list[models.InboundRule]", [rule.wire() for rule in rules])


def reachable(facts: Facts, question: Question) -> bytes:
    """Where a port of the node is reached from elsewhere."""
    protocol, port = question.filter.protocol, question.port
    if protocol is None or port is None:
        raise TypeError("both parameters are required")
    # A rule for all protocols leads to each of them: the filter on the protocol must not drop it.
    document = replace(question.filter, protocol=None).apply(facts.document)
    return items(
        views.reachable(document, protocol=protocol, port=port),
        question.form,
        text=lambda entry: endpoint(entry.address, entry.port),
        wire=_endpoint,
    )


def _endpoint(entry: views.Reachable) -> models.Endpoint:
    return models.Endpoint(ipAddress=str(entry.address), port=entry.port, via=entry.via.value)


def history(facts: Facts, question: Question) -> bytes:
    """The last changes of the document, newest first."""
    return items(reversed(facts.changes), question.form, text=_change_text, wire=_change)


def _change_text(change: Change) -> str:
    return f"{rfc3339(change.at)} {' '.join(change.items)}"


def _change(change: Change) -> models.Change:
    return {
        "changedAt": rfc3339(change.at),
        "from": change.before,
        "to": change.after,
        "added": [item[1:] for item in change.items if item.startswith("+")],
        "removed": [item[1:] for item in change.items if item.startswith("-")],
        "otherRules": OTHER in change.items,
    }


def openapi(_: Facts, __: Question) -> bytes:
    """The description of the API; see :mod:`sidecar.api.description`."""
    return _OPENAPI


def versions(_: Facts, __: Question) -> bytes:
    """The versions that the drop-in path takes, as the metadata service lists its own."""
    return canonical_bytes(models.Versions(apiVersions=sorted(API_VERSIONS)))
