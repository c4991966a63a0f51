"""The bytes of each kind of body, made from the facts and what is requested.

JSON bodies are ASCII without spaces; text bodies are one item per line, each line ended.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Literal, TypeVar, cast

from sidecar.api import models
from sidecar.api.parameters import API_VERSIONS, Format
from sidecar.api.problems import EmptyProblemError, NotReadyError
from sidecar.api.request import Facts, ParsedRequest
from sidecar.core import views
from sidecar.core.addresses import IPAddress, endpoint
from sidecar.core.changes import OTHER, Change
from sidecar.core.document import EMPTY, Document, InboundRule, OutboundRule, canonical_bytes
from sidecar.core.egress import Sighting, configured_egress
from sidecar.core.instant import rfc3339
from sidecar.core.representation import load_balancer
from sidecar.core.state import DataOrigin, State

_Item = TypeVar("_Item")

_FAMILIES: Mapping[int, Literal["ipv4", "ipv6"]] = {4: "ipv4", 6: "ipv6"}
"""As the parameter ``family`` has them."""

NO_METADATA = (
    "The metadata service says that this node has no load balancer metadata: neither a Standard SKU "
    "public IP address nor a rule of a Standard SKU load balancer."
)


def imds(facts: Facts, _: ParsedRequest) -> bytes:
    """The document as the metadata service wraps it."""
    if facts.document.empty:
        raise EmptyProblemError(NO_METADATA)
    return b'{"loadbalancer":' + facts.document.canonical + b"}"


def raw(facts: Facts, _: ParsedRequest) -> bytes:
    """The last answer byte for byte: the metadata service's, or in a sidecar the node agent's."""
    state = facts.snapshot.state
    if state.answer is None or state.source is DataOrigin.RESTORED:
        raise NotReadyError("No response from the metadata service since the agent started.")
    if state.answer.body is None:
        raise EmptyProblemError(NO_METADATA)
    return state.answer.body


def loadbalancer(facts: Facts, _: ParsedRequest) -> bytes:
    """The document with its status, reason and revision."""
    return load_balancer(facts.answered, node=facts.node_name)


def public_ip(facts: Facts, request: ParsedRequest) -> bytes:
    """The one public IP address to advertise."""
    document, family = facts.document, request.family
    address = views.public_ip(document, facts.node_address, family=family)
    if address is not None:
        return f"{address}\n".encode() if request.form is Format.TEXT else canonical_bytes(str(address))
    if document.empty:
        raise EmptyProblemError(NO_METADATA)
    listed = ", ".join(map(str, views.public_ips(document))) or "none"
    kind = "public IP address" if family is None else f"IPv{family} public IP address"
    raise EmptyProblemError(
        f"The metadata service lists no {kind} of this node. It lists public IP addresses: {listed}; "
        f"inbound rules: {len(document.inbound_rules)}; outbound rules: {len(document.outbound_rules)}."
    )


def public_ips(facts: Facts, request: ParsedRequest) -> bytes:
    """The instance-level public IP addresses."""
    return _addresses(views.public_ips(request.select(facts.document)), request.form)


def inbound_ips(facts: Facts, request: ParsedRequest) -> bytes:
    """The distinct frontends of inbound rules."""
    return _addresses(views.inbound_ips(request.select(facts.document)), request.form)


def outbound_ips(facts: Facts, request: ParsedRequest) -> bytes:
    """The distinct frontends of outbound rules."""
    return _addresses(views.outbound_ips(request.select(facts.document)), request.form)


def egress_ips(facts: Facts, request: ParsedRequest) -> bytes:
    """The addresses that outbound flows come from, of the node or of one private IP address or family."""
    # What is in use is decided before any condition, and then selected from as outbound rules are.
    used = [
        # What is declared holds for every private IP address, so for the one that is asked about.
        OutboundRule(address, path.private_ip or request.private_ip or address)
        for path in facts.answered.state.egress.paths
        for address in path.addresses
    ]
    selected = request.select(Document(outbound_rules=tuple(used)))
    return _addresses(views.outbound_ips(selected), request.form)


def egress(facts: Facts, request: ParsedRequest) -> bytes:
    """Where connections leave from: as configured, as declared, as observed."""
    value = egress_value(facts.answered.state)
    return egress_text(value).encode() if request.form is Format.TEXT else canonical_bytes(value)


def egress_text(value: models.EgressKinds, *, compared: bool = True) -> str:
    """One line for each address or network, with its kind first; then what failed, and the state.

    Args:
        value: What to print.
        compared: Whether anybody said what is published, so that addresses are listed or not.
    """
    lines = [
        f"configured {path['family']} {address} {path['basis']} {path['privateIp']}"
        for path in value["configured"]
        for address in path["ipAddresses"]
    ]
    lines += [f"declared {'ipv6' if ':' in network else 'ipv4'} {network}" for network in value["declared"]]
    for seen in value["observed"]:
        word = "not-compared" if not compared else "listed" if seen["listed"] else "unlisted"
        by = ",".join(seen["probes"])
        lines.append(f"observed {seen['family']} {seen['ipAddress']} {word} {by}".rstrip())
    for probe in value["probes"]:
        for result in probe["results"]:
            if result["failure"] is not None:
                why = f"{result['failure']} {result['detail']}".rstrip()
                lines.append(f"failed {result['family']} {probe['probe']} {why}")
            elif result["inside"]:
                lines.append(f"inside {result['family']} {probe['probe']} {result['ipAddress']}")
    if compared and value["state"] != "off":
        lines.append(f"state {value['state']}")
    return "".join(f"{line}\n" for line in lines)


def egress_value(state: State) -> models.EgressKinds:
    """All three kinds."""
    published, shared, observation = state.egress, state.shared_egress, state.observation
    networks = list(map(str, published.networks))
    return models.EgressKinds(
        ips=list(map(str, published.addresses)),
        networks=networks,
        basis=published.basis.value,
        state=shared.state.value,
        configured=[
            models.ConfiguredEgress(
                family=_FAMILIES[path.family],
                privateIp=str(path.private_ip),
                basis=path.basis.value,
                ipAddresses=list(map(str, path.addresses)),
            )
            for path in configured_egress(state.document or EMPTY)
        ],
        declared=networks,
        observed=[
            models.ObservedEgress(
                ipAddress=str(address),
                family=_FAMILIES[address.version],
                listed=published.lists(address),
                probes=[str(one.probe) for one in sightings if one.probe is not None],
                transports=sorted({one.probe.transport.value for one in sightings if one.probe is not None}),
                firstSeenAt=rfc3339(min(one.first.utc for one in sightings)) if sightings else None,
                lastSeenAt=rfc3339(max(one.last.utc for one in sightings)) if sightings else None,
                flows=sum(one.flows for one in sightings),
            )
            for address, sightings in sightings_of(state).items()
        ],
        probedAt=None if observation.round_at is None else rfc3339(observation.round_at.utc),
        probes=[
            models.EgressProbe(
                probe=str(probe),
                transport=probe.transport.value,
                results=[
                    models.EgressFlow(
                        family=_FAMILIES[flow.family],
                        ipAddress=None if flow.address is None else str(flow.address),
                        inside=flow.inside,
                        failure=None if flow.failure is None else flow.failure.value,
                        detail=flow.detail,
                    )
                    for flow in observation.last_flows(probe).values()
                ],
            )
            for probe in observation.probes
        ],
    )


def sightings_of(state: State) -> Mapping[IPAddress, Sequence[Sighting]]:
    """Each observed address with who saw it: nobody where only the node agent or an earlier run tells."""
    seen = state.observation.sightings
    return {
        address: [one for one in seen if one.address == address] for address in state.shared_egress.observed
    }


def inbound_rules(facts: Facts, request: ParsedRequest) -> bytes:
    """The inbound rules."""

    def text(rule: InboundRule) -> str:
        frontend = endpoint(rule.frontend_ip, rule.frontend_port)
        return f"{rule.protocol} {frontend} -> {endpoint(rule.private_ip, rule.backend_port)}"

    rules = request.select(facts.document).inbound_rules
    return _items(rules, request.form, text=text, wire=InboundRule.wire)


def outbound_rules(facts: Facts, request: ParsedRequest) -> bytes:
    """The outbound rules; as text in the direction of the flow, from the private address to the frontend."""
    return _items(
        request.select(facts.document).outbound_rules,
        request.form,
        text=lambda rule: f"{rule.private_ip} -> {rule.frontend_ip}",
        wire=OutboundRule.wire,
    )


def _addresses(addresses: Iterable[IPAddress], form: Format) -> bytes:
    return _items(addresses, form, text=str, wire=str)


def _items(
    listed: Iterable[_Item], form: Format, *, text: Callable[[_Item], str], wire: Callable[[_Item], object]
) -> bytes:
    """One item per line, or a JSON array."""
    if form is Format.TEXT:
        return "".join(f"{text(item)}\n" for item in listed).encode()
    return canonical_bytes([wire(item) for item in listed])


def private_ips(facts: Facts, request: ParsedRequest) -> bytes:
    """The facts grouped per private IP address; as text, the addresses alone."""
    # This filter selects groups, not rules: rules that hold for any private IP address stay.
    wanted = request.private_ip
    document = replace(request, private_ip=None).select(facts.document)
    groups = [group for group in views.private_ips(document) if wanted in (None, group.address)]
    if request.form is Format.TEXT:
        return "".join(f"{group.address}\n" for group in groups).encode()
    return canonical_bytes(
        models.PrivateIPs(
            privateIps=[_group(group) for group in groups], anyPrivateIp=_any_private_ip(document)
        )
    )


def private_ip(facts: Facts, request: ParsedRequest) -> bytes:
    """The facts of the private IP address in the path, and those that hold for all."""
    document = facts.document
    groups = views.private_ips(document)
    found = next((group for group in groups if group.address == request.ip), None)
    if found is None:
        known = ", ".join(str(group.address) for group in groups) or "none"
        raise EmptyProblemError(
            f"The metadata service names no private IP address {request.ip} of this node. It names: {known}."
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


def reachable(facts: Facts, request: ParsedRequest) -> bytes:
    """The addresses and ports under which clients elsewhere reach a port of the node."""
    protocol, port = request.protocol, request.port
    if protocol is None or port is None:
        raise TypeError("both parameters are required")
    # A rule for all protocols leads to each of them: the filter on the protocol must not drop it.
    document = replace(request, protocol=None).select(facts.document)
    return _items(
        views.reachable(document, protocol=protocol, port=port),
        request.form,
        text=lambda entry: endpoint(entry.address, entry.port),
        wire=lambda entry: models.Endpoint(
            ipAddress=str(entry.address), port=entry.port, via=entry.via.value
        ),
    )


def history(facts: Facts, request: ParsedRequest) -> bytes:
    """The last changes of the document, newest first."""

    def wire(change: Change) -> models.Change:
        return {
            "changedAt": rfc3339(change.at),
            "from": change.before,
            "to": change.after,
            "added": [item[1:] for item in change.items if item.startswith("+")],
            "removed": [item[1:] for item in change.items if item.startswith("-")],
            "otherRules": OTHER in change.items,
        }

    return _items(
        reversed(facts.answered.state.changes),
        request.form,
        text=lambda change: f"{rfc3339(change.at)} {' '.join(change.items)}",
        wire=wire,
    )


_OPENAPI = resources.files("sidecar.api").joinpath("openapi.json").read_bytes()


def openapi(_: Facts, __: ParsedRequest) -> bytes:
    """The description of the API; see :mod:`sidecar.api.description`."""
    return _OPENAPI


def versions(_: Facts, __: ParsedRequest) -> bytes:
    """The versions that the drop-in path takes, as the metadata service lists its own."""
    return canonical_bytes(models.Versions(apiVersions=sorted(API_VERSIONS)))
