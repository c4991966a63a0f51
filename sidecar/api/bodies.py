"""The bytes of each kind of body, made from what is known and what is asked.

JSON bodies are ASCII without spaces; text bodies are one item per line, each line ended.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import resources
from typing import TypeVar, cast

from sidecar.api import models
from sidecar.api.parameters import API_VERSIONS, EntryFilter, Format
from sidecar.api.problems import EmptyProblemError, NotReadyError
from sidecar.core import views
from sidecar.core.addresses import IPAddress, endpoint
from sidecar.core.changes import OTHER, Change
from sidecar.core.document import Document, InboundRule, OutboundRule, canonical_bytes
from sidecar.core.instant import rfc3339
from sidecar.core.representation import load_balancer
from sidecar.core.state import DataOrigin, Snapshot

_Item = TypeVar("_Item")
_Wire = TypeVar("_Wire")

_NO_METADATA = (
    "The metadata service says that this node has no load balancer metadata: neither a Standard SKU "
    "public IP address nor a rule of a Standard SKU load balancer."
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What bodies are made from."""

    snapshot: Snapshot
    node_name: str | None
    node_address: IPAddress | None

    @property
    def document(self) -> Document:
        """The published document.

        Raises:
            NotReadyError: there is none yet.
        """
        document = self.snapshot.state.document
        if document is None:
            reason = self.snapshot.reason
            why = "" if reason is None else f" The last attempt ended with: {reason}."
            raise NotReadyError(f"No response from the metadata service yet.{why}")
        return document

    @property
    def changes(self) -> tuple[Change, ...]:
        """The remembered changes of the published document, newest last.

        Raises:
            NotReadyError: there is no document yet.
        """
        return self.answered.state.changes

    @property
    def answered(self) -> Snapshot:
        """The snapshot, if it has a document.

        Raises:
            NotReadyError: it has none yet.
        """
        _ = self.document
        return self.snapshot


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks of an endpoint; equal questions have equal bodies."""

    filter: EntryFilter
    form: Format
    private_ip: IPAddress | None = None
    """The one in the path."""
    port: int | None = None


Build = Callable[[Facts, Question], bytes]
"""Makes a body; raises :class:`sidecar.api.problems.ProblemError` when there is none to make."""


def imds(facts: Facts, _: Question) -> bytes:
    """The document as the metadata service wraps it."""
    if facts.document.empty:
        raise EmptyProblemError(_NO_METADATA)
    return b'{"loadbalancer":' + facts.document.canonical + b"}"


def raw(facts: Facts, _: Question) -> bytes:
    """The last answer byte for byte: the metadata service's, or in a sidecar the node agent's."""
    state = facts.snapshot.state
    if state.answer is None or state.source is DataOrigin.RESTORED:
        raise NotReadyError("No response from the metadata service since the agent started.")
    if state.answer.body is None:
        raise EmptyProblemError(_NO_METADATA)
    return state.answer.body


def loadbalancer(facts: Facts, _: Question) -> bytes:
    """The document with what it is worth."""
    return load_balancer(facts.answered, node=facts.node_name)


def public_ip(facts: Facts, question: Question) -> bytes:
    """The one public IP address to advertise."""
    family = question.filter.family
    address = views.public_ip(facts.document, facts.node_address, family=family)
    if address is None:
        raise EmptyProblemError(_no_public_ip(facts.document, family))
    return f"{address}\n".encode() if question.form is Format.TEXT else canonical_bytes(str(address))


def _no_public_ip(document: Document, family: int | None) -> str:
    """Say in words what the metadata service did say."""
    if document.empty:
        return _NO_METADATA
    listed = ", ".join(map(str, views.public_ips(document))) or "none"
    kind = "public IP address" if family is None else f"IPv{family} public IP address"
    return (
        f"The metadata service lists no {kind} of this node. It lists public IP addresses: {listed}; "
        f"inbound rules: {len(document.inbound_rules)}; outbound rules: {len(document.outbound_rules)}."
    )


def public_ips(facts: Facts, question: Question) -> bytes:
    """The instance-level public IP addresses."""
    return _addresses(views.public_ips(question.filter.apply(facts.document)), question.form)


def inbound_ips(facts: Facts, question: Question) -> bytes:
    """The distinct frontends of inbound rules."""
    return _addresses(views.inbound_ips(question.filter.apply(facts.document)), question.form)


def outbound_ips(facts: Facts, question: Question) -> bytes:
    """The distinct frontends of outbound rules."""
    return _addresses(views.outbound_ips(question.filter.apply(facts.document)), question.form)


def egress_ips(facts: Facts, question: Question) -> bytes:
    """What the node leaves from, or one of its private IP addresses, or in one address family."""
    # What is used is decided before any filter, and then filtered as outbound rules are.
    used = [
        OutboundRule(address, path.private_ip)
        for path in views.configured_egress(facts.document)
        for address in path.addresses
    ]
    left = question.filter.apply(Document(outbound_rules=tuple(used)))
    return _addresses(views.outbound_ips(left), question.form)


def inbound_rules(facts: Facts, question: Question) -> bytes:
    """The inbound rules."""
    rules = question.filter.apply(facts.document).inbound_rules
    return items(rules, question.form, text=_inbound_text, wire=InboundRule.wire)


def outbound_rules(facts: Facts, question: Question) -> bytes:
    """The outbound rules."""
    rules = question.filter.apply(facts.document).outbound_rules
    return items(rules, question.form, text=_outbound_text, wire=OutboundRule.wire)


def _inbound_text(rule: InboundRule) -> str:
    frontend = endpoint(rule.frontend_ip, rule.frontend_port)
    return f"{rule.protocol} {frontend} -> {endpoint(rule.private_ip, rule.backend_port)}"


def _outbound_text(rule: OutboundRule) -> str:
    """In the direction of the flow: from the private address out of the frontend."""
    return f"{rule.private_ip} -> {rule.frontend_ip}"


def _addresses(addresses: Iterable[IPAddress], form: Format) -> bytes:
    return items(addresses, form, text=str, wire=str)


def items(
    listed: Iterable[_Item],
    form: Format,
    *,
    text: Callable[[_Item], str],
    wire: Callable[[_Item], _Wire],
    wrap: Callable[[list[_Wire]], object] = lambda wired: wired,
) -> bytes:
    """One item per line, or a JSON array; ``wrap`` puts the array into something larger."""
    if form is Format.TEXT:
        return "".join(f"{text(item)}\n" for item in listed).encode()
    return canonical_bytes(wrap([wire(item) for item in listed]))


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
        raise EmptyProblemError(
            f"The metadata service names no private IP address {question.private_ip} of this node. "
            f"It names: {known}."
        )
    return canonical_bytes(models.PrivateIPFacts(**_group(found), anyPrivateIp=_any_private_ip(document)))


def _group(group: views.PrivateIP) -> models.PrivateIPModel:
    return models.PrivateIPModel(
        privateIp=str(group.address),
        publicIps=[str(address) for address in group.public_ips],
        outboundIps=[str(address) for address in group.outbound_ips],
        inboundRules=_rules(group.inbound_rules),
    )


def _any_private_ip(document: Document) -> models.AnyPrivateIP:
    return models.AnyPrivateIP(inboundRules=_rules(views.any_private_ip(document)))


def _rules(rules: Iterable[InboundRule]) -> list[models.InboundRuleModel]:
    return cast("list[models.InboundRuleModel]", [rule.wire() for rule in rules])


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
