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
from sidecar.core.changes import OTHER, Change
from sidecar.core.document import Document
from sidecar.core.instant import Instant, rfc3339
from sidecar.core.outcome import Status

__all__ = ["HEADERS", "render"]

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
    Status.NO_METADATA: "The metadata service says that this node has no load balancer metadata.",
}

_BASIS = {
    views.EgressBasis.INSTANCE_IP: "From its instance-level public IP addresses",
    views.EgressBasis.OUTBOUND_RULE: "From the frontends of its outbound rules",
    views.EgressBasis.UNKNOWN: "Unknown",
}
_INVISIBLE = "unless a route table or a NAT gateway, which are invisible from here, leads elsewhere"


def render(facts: Facts, *, now: Instant, etag: str | None) -> bytes:
    """The page as it is at ``now``; ``etag`` is that of ``/v1/loadbalancer``, if there are data."""
    snapshot = facts.snapshot
    node = facts.node_name or "this node"
    document = snapshot.state.document
    page = _PAGE.substitute(
        title=escape(f"{node}: {snapshot.status}"),
        style=_STYLE,
        script=_SCRIPT,
        etag=escape(etag or ""),
        node=escape(node),
        status=escape(snapshot.status),
        meaning=escape(_MEANING[snapshot.status]),
        facts=_facts(facts, now),
        sections="" if document is None else _sections(facts, document),
        attempts=_attempts(facts),
    )
    return page.encode()


def _facts(facts: Facts, now: Instant) -> str:
    snapshot = facts.snapshot
    state = snapshot.state
    rows: list[tuple[str, str]] = []
    if snapshot.reason is not None:
        rows.append(("Reason", escape(snapshot.reason)))
    if state.observed is not None:
        rows.append(("Last good answer", f"{_time(state.observed.utc)} ({_ago(state.observed.age(now))})"))
    if state.document is not None:
        rows.append(("Revision", f"<code>{escape(state.document.revision)}</code>"))
        rows.append(("Source", escape(state.source)))
    if state.changed_at is not None:
        rows.append(("Since", _time(state.changed_at)))
    return "".join(f"<dt>{escape(term)}</dt><dd>{value}</dd>" for term, value in rows)


def _sections(facts: Facts, document: Document) -> str:
    first = views.public_ip(document, facts.node_address)
    public = [
        f"{address} (the one to advertise)" if address == first else str(address)
        for address in ([first] if first else []) + [ip for ip in views.public_ips(document) if ip != first]
    ]
    basis = views.egress_basis(document)
    return _DATA.substitute(
        public=_list(public),
        drawing=_drawing(document),
        rules=_rules(document),
        basis=escape(f"{_BASIS[basis]}, {_INVISIBLE}."),
        egress=_list(map(str, views.egress_ips(document))),
        history=_history(facts.changes),
    )


def _list(items: Iterable[str]) -> str:
    entries = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f'<ul class="addresses">{entries}</ul>' if entries else '<p class="none">None.</p>'


def _drawing(document: Document) -> str:
    svg = drawing(document)
    if not svg:
        return '<p class="none">No rules of a load balancer.</p>'
    # Focusable, so that the keyboard can scroll it.
    return f'<div class="wide" role="region" aria-label="Drawing of the rules" tabindex="0">{svg}</div>'


def _rules(document: Document) -> str:
    rows = [
        (str(rule.frontend_ip), rule.protocol, rule.frontend_port, rule.backend_port, str(rule.private_ip))
        for rule in document.inbound_rules
    ]
    if not rows:
        return ""
    head = ("Frontend", "Protocol", "Frontend port", "Backend port", "Private IP")
    table = _table("All inbound rules", head, [[escape(str(cell)) for cell in row] for row in rows])
    return f"<details><summary>All {len(rows)} inbound rules</summary>{table}</details>"


def _history(changes: Sequence[Change]) -> str:
    if not changes:
        return '<p class="none">None that this agent knows of.</p>'
    rows = [[_time(change.at), _items(change.items)] for change in reversed(changes)]
    return _table("Last changes", ("When", "What"), rows)


def _items(items: Sequence[str]) -> str:
    return "<br>".join(escape("other rules" if item == OTHER else item) for item in items)


def _attempts(facts: Facts) -> str:
    rows = [
        [_time(attempt.at), escape(attempt.outcome), escape(attempt.detail)]
        for attempt in reversed(facts.snapshot.state.attempts)
    ]
    if not rows:
        return '<p class="none">None yet.</p>'
    return _table("Last attempts", ("When", "Outcome", "Detail"), rows)


def _table(label: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide" role="region" aria-label="{escape(label)}" tabindex="0">'
        f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _time(utc: datetime) -> str:
    stamp = rfc3339(utc)
    return f'<time datetime="{stamp}">{stamp[:10]} {stamp[11:19]} UTC</time>'


def _ago(seconds: float) -> str:
    """An age in its largest whole unit."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{int(seconds)} s ago"
