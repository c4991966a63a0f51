"""From what is known to HTML; every value is escaped where it becomes HTML, and nowhere else."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from importlib import resources
from string import Template

from sidecar.api.bodies import Facts
from sidecar.api.page.drawing import drawing
from sidecar.core import views
from sidecar.core.addresses import IPAddress, endpoint
from sidecar.core.changes import OTHER, Change
from sidecar.core.document import Document, InboundRule
from sidecar.core.instant import Instant, rfc3339
from sidecar.core.outcome import Attempt, Reason, Status

_FILES = resources.files(__package__)
_PAGE, _DATA = (Template(_FILES.joinpath(name).read_text("utf-8")) for name in ("page.html", "data.html"))
_STYLE, _SCRIPT = (_FILES.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))


def _source(text: str) -> str:
    """How a policy names an inline style or script: by its hash (Content Security Policy Level 3)."""
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
    Status.NO_METADATA: (
        "The metadata service says that this node has no load balancer metadata: neither a Standard SKU "
        "public IP address nor a rule of a Standard SKU load balancer."
    ),
}

_INVISIBLE = "unless a route table or a NAT gateway, which are invisible from here, leads elsewhere"
_BASIS = {
    views.EgressBasis.INSTANCE_IP: f"From its instance-level public IP addresses, {_INVISIBLE}.",
    views.EgressBasis.OUTBOUND_RULE: f"From the frontends of its outbound rules, {_INVISIBLE}.",
    views.EgressBasis.MIXED: (
        "From instance-level public IP addresses and from the frontends of its outbound rules, "
        f"by address family and private IP address, {_INVISIBLE}."
    ),
    views.EgressBasis.UNKNOWN: (
        "Unknown: the metadata service lists neither an instance-level public IP address "
        "nor an outbound rule."
    ),
}

_ITEMS = 8
"""Items of a change that are shown; ``/v1/history`` has all."""

_ANSWERS = ("ok", Reason.NO_METADATA)


def render(facts: Facts, *, now: Instant, etag: str | None) -> bytes:
    """The page as it is at ``now``; ``etag`` is that of ``/v1/loadbalancer``, if there are data."""
    snapshot = facts.snapshot
    node = facts.node_name or "this node"
    document = snapshot.state.document
    page = _PAGE.substitute(
        title=escape(f"{snapshot.status}: {node}"),
        style=_STYLE,
        script=_SCRIPT,
        etag=escape(etag or ""),
        node=escape(node),
        status=escape(snapshot.status),
        meaning=_meaning(facts),
        facts=_facts(facts, now),
        sections="" if document is None else _sections(facts, document),
        attempts=_attempts(facts),
    )
    return page.encode()


def _meaning(facts: Facts) -> str:
    """The status in words, and the reason if it says more."""
    status, reason = facts.snapshot.status, facts.snapshot.reason
    meaning = escape(_MEANING[status])
    if reason is None or status is Status.NO_METADATA:
        return meaning
    return f"{meaning} Reason: <strong>{escape(reason)}</strong>."


def _facts(facts: Facts, now: Instant) -> str:
    state = facts.snapshot.state
    rows: list[tuple[str, str]] = []
    if state.observed is not None:
        age = f"<strong>{_ago(state.observed.age(now))}</strong>"
        rows.append(("Last good answer", f"{age} {_time(state.observed.utc)}"))
    if state.changed_at is not None:
        rows.append(("Unchanged since", _time(state.changed_at)))
    if state.document is not None:
        rows.append(("Revision", f"<code>{escape(state.document.revision)}</code>"))
        rows.append(("Source", escape(state.source)))
    return "".join(f"<div><dt>{escape(term)}</dt><dd>{value}</dd></div>" for term, value in rows)


def _sections(facts: Facts, document: Document) -> str:
    return _DATA.substitute(
        public=_public(facts, document),
        rules=_rules(document),
        basis=escape(_BASIS[views.egress_basis(document)]),
        egress=_addresses(f"<li>{escape(str(address))}</li>" for address in views.egress_ips(document)),
        history=_history(facts.changes),
    )


def _public(facts: Facts, document: Document) -> str:
    """The public addresses, the one to advertise first."""
    first = views.public_ip(document, facts.node_address)
    others = [address for address in views.public_ips(document) if address != first]
    items = [f"<li>{escape(str(address))}</li>" for address in others]
    if first is not None:
        tag = '<span class="tag">the one to advertise</span>'
        items.insert(0, f'<li class="first">{escape(str(first))} {tag}</li>')
    return _addresses(items)


def _addresses(items: Iterable[str]) -> str:
    """A list of items that are HTML already."""
    entries = "".join(items)
    return f'<ul class="addresses">{entries}</ul>' if entries else '<p class="none">None.</p>'


def _rules(document: Document) -> str:
    """The drawing, and a table that has every rule."""
    rules = document.inbound_rules
    if not rules:
        return '<p class="none">No rules of a load balancer.</p>'
    summary = f'<summary id="every-rule-title">All {len(rules)} inbound rules</summary>'
    head = "".join(f'<th scope="col">{title}</th>' for title in ("Protocol", "Frontend", "Private IP"))
    body = "".join(map(_rule, rules))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'{drawing(document)}<details id="every-rule">{summary}{table}</details>'


def _rule(rule: InboundRule) -> str:
    cells = (
        escape(rule.protocol),
        _endpoint(rule.frontend_ip, rule.frontend_port),
        _endpoint(rule.private_ip, rule.backend_port),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _endpoint(address: IPAddress, port: int) -> str:
    """An address and a port; a line that is too short for both breaks between them."""
    return f"{escape(endpoint(address, port).removesuffix(f':{port}'))}<wbr>:{port}"


def _history(changes: Sequence[Change]) -> str:
    if not changes:
        return '<p class="none">None that this agent knows of.</p>'
    return _log((change.at, _items(change.items)) for change in reversed(changes))


def _items(items: Sequence[str]) -> str:
    """The items of a change, of which a long one has only the first."""
    shown = ["other rules" if item == OTHER else item for item in items[:_ITEMS]]
    if left := len(items) - len(shown):
        shown.append(f"and {left} more")
    return "<br>".join(map(escape, shown))


def _attempts(facts: Facts) -> str:
    attempts = facts.snapshot.state.attempts
    if not attempts:
        return '<p class="none">None yet.</p>'
    return _log((attempt.at, _attempt(attempt)) for attempt in reversed(attempts))


def _attempt(attempt: Attempt) -> str:
    kind = "answered" if attempt.outcome in _ANSWERS else "failed"
    detail = f" <span>{escape(attempt.detail)}</span>" if attempt.detail else ""
    return f'<strong class="{kind}">{escape(attempt.outcome)}</strong>{detail}'


def _log(entries: Iterable[tuple[datetime, str]]) -> str:
    """What happened when, in HTML already."""
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
