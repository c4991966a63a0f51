"""The page as HTML; every value is escaped where it becomes HTML, and nowhere else."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from importlib import resources
from string import Template

from sidecar.api.bodies import NO_METADATA, sightings_of
from sidecar.api.page.drawing import drawing
from sidecar.api.request import Facts
from sidecar.core import views
from sidecar.core.addresses import IPAddress, endpoint
from sidecar.core.changes import OTHER
from sidecar.core.document import Document
from sidecar.core.egress import EgressBasis, EgressState, SharedEgress, Sighting, configured_egress
from sidecar.core.instant import Instant, rfc3339
from sidecar.core.outcome import Reason, Status
from sidecar.core.probes import Flow
from sidecar.core.state import State

_FILES = resources.files(__package__)
_PAGE, _DATA = (Template(_FILES.joinpath(name).read_text("utf-8")) for name in ("page.html", "data.html"))
_STYLE, _SCRIPT = (_FILES.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))


def _source(text: str) -> str:
    """The source expression of an inline style or script: its hash (Content Security Policy Level 3)."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {_source(_STYLE)}; script-src {_source(_SCRIPT)}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_MEANING = {
    Status.STARTING: "There is no answer of the metadata service yet.",
    Status.OK: "The metadata service answers.",
    Status.STALE: "The last good answer is old; what is shown may have changed since.",
    Status.NO_METADATA: NO_METADATA,
}

_INVISIBLE = "unless a route table or a NAT gateway, which are invisible from here, leads elsewhere"
_BASIS = {
    EgressBasis.INSTANCE_IP: f"From its instance-level public IP addresses, {_INVISIBLE}.",
    EgressBasis.OUTBOUND_RULE: f"From the frontends of its outbound rules, {_INVISIBLE}.",
    EgressBasis.MIXED: (
        "From instance-level public IP addresses and from the frontends of its outbound rules, "
        f"by address family and private IP address, {_INVISIBLE}."
    ),
    EgressBasis.DECLARED: "From what the operator declared.",
    EgressBasis.UNKNOWN: (
        "Unknown: the metadata service lists neither an instance-level public IP address "
        "nor an outbound rule."
    ),
}

_DECLARED_AND_CONFIGURED = (
    "From what the operator declared for one address family, and from what is configured for the other, "
    f"{_INVISIBLE}."
)

_EGRESS_MEANING = {
    EgressState.AGREES: (
        "Every address that probes saw is declared or configured. There is nothing to do. "
        "A sample can miss an address that is seldom used."
    ),
    EgressState.UNLISTED: (
        "Connections leave from an address that is neither declared nor configured: who lets in only what is "
        "published refuses them. If it is that of a NAT gateway or a firewall of yours, declare its network "
        "(--egress-declared) and tell those who keep allow-lists; if not, look at the route table."
    ),
    EgressState.INSIDE: (
        "Only own or private addresses came back: the probes are on this side of the address translation. "
        "Use a probe that stands where those are who keep allow-lists."
    ),
    EgressState.UNANSWERED: (
        "No probe answered in the last two rounds, or in any. The table says what each one met with: look "
        "for a NetworkPolicy, a firewall that drops UDP, a probe that is away, or no way out at all."
    ),
    EgressState.OFF: "No egress probe was asked, so nothing proves what is declared or configured.",
}

_ITEMS = 8
"""Items of a change that are shown; ``/v1/history`` has all."""


def render(facts: Facts, *, now: Instant, etag: str | None) -> bytes:
    """The page as it is at ``now``; ``etag`` is that of ``/v1/loadbalancer``, if there are data."""
    snapshot, state = facts.snapshot, facts.snapshot.state
    node = facts.node_name or "this node"

    meaning = escape(_MEANING[snapshot.status])
    if snapshot.reason is not None and snapshot.status is not Status.NO_METADATA:
        meaning += f" Reason: <strong>{escape(snapshot.reason)}</strong>."

    terms: list[tuple[str, str]] = []
    if state.observed is not None:
        age = f"<strong>{_ago(state.observed.age(now))}</strong>"
        terms.append(("Last good answer", f"{age} {_time(state.observed.utc)}"))
    if state.changed_at is not None:
        terms.append(("Unchanged since", _time(state.changed_at)))
    if state.document is not None:
        terms.append(("Revision", f"<code>{escape(state.document.revision)}</code>"))
        terms.append(("Source", escape(state.source)))

    attempts = []
    for attempt in reversed(state.attempts):
        kind = "answered" if attempt.outcome in ("ok", Reason.NO_METADATA) else "failed"
        detail = f" <span>{escape(attempt.detail)}</span>" if attempt.detail else ""
        attempts.append((attempt.at, f'<strong class="{kind}">{escape(attempt.outcome)}</strong>{detail}'))

    return _PAGE.substitute(
        title=escape(f"{snapshot.status}: {node}"),
        style=_STYLE,
        script=_SCRIPT,
        etag=escape(etag or ""),
        node=escape(node),
        status=escape(snapshot.status),
        meaning=meaning,
        facts="".join(f"<div><dt>{escape(term)}</dt><dd>{value}</dd></div>" for term, value in terms),
        sections="" if state.document is None else _sections(state.document, facts),
        attempts=_log(attempts, empty="None yet."),
    ).encode()


def _sections(document: Document, facts: Facts) -> str:
    """The part of the page that shows a document: addresses, rules, egress and history."""
    advertised = views.public_ip(document, facts.node_address)
    public = [
        f"<li>{escape(str(address))}</li>" for address in views.public_ips(document) if address != advertised
    ]
    if advertised is not None:
        tag = '<span class="tag">the one to advertise</span>'
        public.insert(0, f'<li class="first">{escape(str(advertised))} {tag}</li>')

    rules = '<p class="none">No rules of a load balancer.</p>'
    if document.inbound_rules:
        rows = []
        for rule in document.inbound_rules:
            frontend = _endpoint(rule.frontend_ip, rule.frontend_port)
            target = _endpoint(rule.private_ip, rule.backend_port)
            rows.append(f"<tr><td>{escape(rule.protocol)}</td><td>{frontend}</td><td>{target}</td></tr>")
        summary = f'<summary id="every-rule-title">All {len(rows)} inbound rules</summary>'
        head = "".join(f'<th scope="col">{title}</th>' for title in ("Protocol", "Frontend", "Private IP"))
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        rules = f'{drawing(document)}<details id="every-rule">{summary}{table}</details>'

    changes = []
    for change in reversed(facts.snapshot.state.changes):
        shown = ["other rules" if item == OTHER else item for item in change.items[:_ITEMS]]
        if left := len(change.items) - len(shown):
            shown.append(f"and {left} more")
        changes.append((change.at, "<br>".join(map(escape, shown))))

    state = facts.snapshot.state
    published, shared = state.egress, state.shared_egress
    alone = shared == SharedEgress() and not state.observation.probes
    mixed = published.networks and published.basis is EgressBasis.MIXED
    return _DATA.substitute(
        public=_addresses(public),
        public_class="card half" if alone else "card",
        rules=rules,
        egress_class="card half" if alone else f"card {shared.state}",
        basis=escape(_DECLARED_AND_CONFIGURED if mixed else _BASIS[published.basis]),
        egress=_addresses(f"<li>{escape(str(address))}</li>" for address in published.addresses)
        if alone
        else _three_kinds(document, state),
        history=_log(changes, empty="None that this agent knows of."),
    )


def _three_kinds(document: Document, state: State) -> str:
    """What is configured, declared and observed, side by side, with what their difference means."""
    published, shared = state.egress, state.shared_egress
    declared = {network.version for network in published.networks}
    configured = []
    for path in configured_egress(document):
        kind = "instance IP" if path.basis is EgressBasis.INSTANCE_IP else "outbound rule"
        of = f'<span class="tag more">{kind} of {escape(str(path.private_ip))}</span>'
        replaced = path.family in declared
        tag = f' <span class="tag">IPv{path.family} is declared instead</span>' if replaced else ""
        item = '<li class="unused">' if replaced else "<li>"
        configured += [f"{item}{escape(str(address))}{tag}{of}</li>" for address in path.addresses]

    observed = []
    for address, sightings in sightings_of(state).items():
        if published.lists(address):
            item, tag = "<li>", "listed"
        else:
            item, tag = '<li class="odd">', "⚠ not listed"
        observed.append(
            f'{item}{escape(str(address))} <span class="tag">{tag}</span>{_seen_by(sightings)}</li>'
        )
    columns = (
        ("Configured", "by Azure, as the metadata service tells", configured),
        ("Declared", "by the operator", [f"<li>{escape(str(each))}</li>" for each in published.networks]),
        ("Observed", "by probes elsewhere", observed),
    )
    kinds = "".join(
        f'<div><h3>{title} <span class="of">{by}</span></h3>{_addresses(items)}</div>'
        for title, by, items in columns
    )
    meaning = _EGRESS_MEANING[shared.state]
    if state.observation.probes and state.observation.round_at is None and not shared.observed:
        meaning = "The first round of egress probes has not ended yet."
    verdict = f'<p class="verdict"><strong>{shared.state}</strong> <span>{escape(meaning)}</span></p>'
    return f'{verdict}<div class="kinds">{kinds}</div>{_probes(state)}'


def _seen_by(sightings: Sequence[Sighting]) -> str:
    """Who saw an address, over what, when and how often."""
    probes = [one for one in sightings if one.probe is not None]
    if not probes:
        return '<span class="tag more">as the node agent or an earlier run of this agent tells</span>'
    names = "<br>".join(escape(str(one.probe)) for one in probes)
    flows = sum(one.flows for one in probes)
    times = f"first {_time(min(one.first.utc for one in probes))}, "
    times += f"last {_time(max(one.last.utc for one in probes))}"
    counted = "1 connection" if flows == 1 else f"{flows} connections"
    return f'<span class="tag more">{names}<br>{counted}, {times}</span>'


def _probes(state: State) -> str:
    """A table of the probes with what the last round brought; empty where there are none."""
    observation = state.observation
    if not observation.probes:
        return ""
    rows = []
    for probe in observation.probes:
        last = sorted(observation.last_flows(probe).items())
        cells = [(f"IPv{family}", _result(flow)) for family, flow in last]
        for family, result in cells or [("", "not asked yet")]:
            rows.append(f"<tr><td>{escape(str(probe))}</td><td>{family}</td><td>{result}</td></tr>")
    head = "".join(f'<th scope="col">{title}</th>' for title in ("Probe", "Family", "Last connection"))
    ended = "" if observation.round_at is None else f"Last round ended {_time(observation.round_at.utc)}."
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'{table}<p class="note">{ended}</p>'


def _result(flow: Flow) -> str:
    """What a connection to a probe brought: an address, or why there is none."""
    if flow.failure is not None:
        detail = f" {escape(flow.detail)}" if flow.detail else ""
        return f'<strong class="failed">{flow.failure}</strong>{detail}'
    inside = ", an own or a private address: nothing was translated" if flow.inside else ""
    return f"{escape(str(flow.address))}{inside}"


def _addresses(items: Iterable[str]) -> str:
    """A list of items that are HTML already."""
    entries = "".join(items)
    return f'<ul class="addresses">{entries}</ul>' if entries else '<p class="none">None.</p>'


def _endpoint(address: IPAddress, port: int) -> str:
    """An address and a port; a line may break between them."""
    return f"{escape(endpoint(address, port).removesuffix(f':{port}'))}<wbr>:{port}"


def _log(entries: Sequence[tuple[datetime, str]], *, empty: str) -> str:
    """A list of times and of what happened then, which is HTML already."""
    if not entries:
        return f'<p class="none">{empty}</p>'
    rows = "".join(f'<li>{_time(at)} <div class="what">{what}</div></li>' for at, what in entries)
    return f'<ol class="log">{rows}</ol>'


def _time(utc: datetime) -> str:
    stamp = rfc3339(utc)
    return f'<time datetime="{stamp}">{stamp[:10]} {stamp[11:19]} UTC</time>'


def _ago(seconds: float) -> str:
    """An age in its largest whole unit."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{int(seconds)} s ago"
