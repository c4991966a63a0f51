"""The annotations of a Node: from a state to keys and values, and back from what is found there.

Keys, values, their order and the budget are a contract, see ``docs/annotations.md``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeGuard

from sidecar.core import views
from sidecar.core.addresses import IPAddress, parse_address, sorted_addresses
from sidecar.core.changes import parse_changes, print_changes
from sidecar.core.document import REVISION, Document
from sidecar.core.egress import EgressState
from sidecar.core.instant import parse_rfc3339, rfc3339
from sidecar.core.outcome import Reason, Status
from sidecar.core.parsing import MalformedError, parse_canonical
from sidecar.core.state import Found, State

DEFAULT_PREFIX = "azure-lb-metadata.io"

KEYS = (
    "public-ip",
    "public-ipv6",
    "public-ips",
    "inbound-ips",
    "outbound-ips",
    "egress-ips",
    "egress-networks",
    "egress-observed",
    "egress-state",
    "egress-basis",
    "inbound",
    "loadbalancer",
    "revision",
    "changed-at",
    "observed-at",
    "last-changes",
    "status",
    "reason",
    "omitted",
)
"""Every key that the agent may write, without the prefix."""

_OMITTED_FIRST = (
    "loadbalancer",
    "inbound",
    "last-changes",
    "egress-observed",
    "inbound-ips",
    "egress-ips",
    "egress-networks",
    "outbound-ips",
    "public-ips",
)
"""What gives way to the budget, in this order."""

_RESERVED_PREFIXES = ("kubernetes.io", "k8s.io", "kubernetes.azure.com")
_LONGEST_PREFIX = 110
"""Characters: a field manager has at most 128 bytes, ours included."""

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
"""What is a DNS subdomain.

https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a state becomes annotations."""

    prefix: str = DEFAULT_PREFIX
    previous_prefixes: tuple[str, ...] = ()
    """Prefixes of earlier runs, whose keys are removed at the start."""
    budget: int = 8192
    """Bytes of keys and values of all our annotations together."""
    annotate: Literal["full", "summary"] = "full"
    """``summary`` leaves out the key ``loadbalancer``."""
    node_address: IPAddress | None = None
    """The node's own address: decides which public IP comes first."""

    def key(self, name: str) -> str:
        """The full annotation key of one of ``KEYS``."""
        return f"{self.prefix}/{name}"


def parse_prefix(value: str) -> str:
    """Check the domain of annotation keys, and return it.

    Raises:
        ValueError: not a DNS subdomain, too long, or reserved (MicrosoftDocs/azure-aks-docs use-labels.md).
    """
    if len(value) > _LONGEST_PREFIX or SUBDOMAIN.fullmatch(value) is None:
        raise ValueError(f"{value!r} is not a DNS subdomain of at most {_LONGEST_PREFIX} characters")
    if any(value == reserved or value.endswith(f".{reserved}") for reserved in _RESERVED_PREFIXES):
        raise ValueError(f"{value!r} is reserved; use a domain of your own")
    return value


def field_manager(prefix: str) -> str:
    """The server-side apply field manager of a prefix; two prefixes never prune each other's keys."""
    return "azure-lb-metadata" if prefix == DEFAULT_PREFIX else f"azure-lb-metadata/{prefix}"


def annotations(state: State, status: Status, reason: Reason | None, *, layout: Layout) -> dict[str, str]:
    """All annotations of a state that has a document, within the budget.

    Returns:
        Values by full key; a key whose value would be empty is absent.
    """
    if state.document is None or state.observed is None or state.changed_at is None:
        raise ValueError("a state without a document has no annotations")
    document, published, shared = state.document, state.egress, state.shared_egress
    lists: dict[str, tuple[object, ...]] = {
        "public-ips": views.public_ips(document),
        "inbound-ips": views.inbound_ips(document),
        "outbound-ips": views.outbound_ips(document),
        "egress-ips": published.addresses,
        "egress-networks": published.networks,
        "egress-observed": shared.observed,
        "inbound": views.inbound(document),
    }
    values = {name: ",".join(map(str, items)) for name, items in lists.items()} | {
        "public-ip": str(views.public_ip(document, layout.node_address) or ""),
        "public-ipv6": str(views.public_ip(document, layout.node_address, family=6) or ""),
        "egress-basis": published.basis,
        "egress-state": "" if shared.state is EgressState.OFF else shared.state,
        "loadbalancer": document.canonical.decode("ascii") if layout.annotate == "full" else "",
        "revision": document.revision,
        "changed-at": rfc3339(state.changed_at),
        "observed-at": rfc3339(state.observed.utc),
        "last-changes": print_changes(state.changes),
        "status": status,
        "reason": "" if status is Status.OK else reason or "",
    }
    values = {name: value for name, value in values.items() if value}
    counts = {name: len(items) for name, items in lists.items()} | {
        "loadbalancer": document.entries,
        "last-changes": values.get("last-changes", "").count("; ") + 1,
    }
    # Whole keys are left out, the least needed first, until all bytes fit.
    omitted: list[str] = []
    for name in _OMITTED_FIRST:
        if sum(len(layout.key(key)) + len(value) for key, value in values.items()) <= layout.budget:
            break
        if name in values:
            del values[name]
            omitted.append(f"{name}={counts[name]}")
            values["omitted"] = ",".join(omitted)
    return {layout.key(name): values[name] for name in KEYS if name in values}


def with_status(
    live: Mapping[str, str], status: Status, reason: Reason | None, *, layout: Layout
) -> dict[str, str]:
    """What is published already, unchanged but for status and reason.

    For an agent that has no document: an apply without the other keys would remove them. What is
    not printable did not come from an agent, and the API server's policy would refuse it.
    """
    values = {
        key: value
        for key, value in live.items()
        if key != layout.key("reason") and value.isascii() and value.isprintable()
    }
    values[layout.key("status")] = status
    if reason is not None:
        values[layout.key("reason")] = reason
    return values


def own(annotations: Mapping[str, str], *, layout: Layout) -> dict[str, str]:
    """Those of a Node's annotations that the agent may have written."""
    keys = {layout.key(name) for name in KEYS}
    return {key: value for key, value in annotations.items() if key in keys}


def found(live: Mapping[str, str], *, layout: Layout) -> Found | None:
    """Read back what an earlier run published; what is inconsistent is discarded.

    Annotations can be edited by others, so every value is checked, and the document counts only if
    it is canonical and its hash is the revision.
    """
    revision = live.get(layout.key("revision"), "")
    changed_at = parse_rfc3339(live.get(layout.key("changed-at"), ""))
    if not REVISION.fullmatch(revision) or changed_at is None:
        return None
    return Found(
        revision=revision,
        changed_at=changed_at,
        changes=parse_changes(live.get(layout.key("last-changes"), "")),
        document=canonical_document(live.get(layout.key("loadbalancer"), ""), revision=revision),
        observed_at=parse_rfc3339(live.get(layout.key("observed-at"), "")),
        egress_observed=_observed(live.get(layout.key("egress-observed"), "")),
    )


def _observed(text: str) -> tuple[IPAddress, ...]:
    """The addresses of ``egress-observed``; none if one is no address that an agent would write."""
    try:
        return sorted_addresses(map(parse_address, text.split(","))) if text else ()
    except ValueError:
        return ()


def canonical_document(text: str, *, revision: str) -> Document | None:
    """Parse a document that must be canonical and of this revision; ``None`` if it is not."""
    try:
        document = parse_canonical(text.encode()).document
    except (MalformedError, UnicodeEncodeError):
        return None
    return document if document.canonical == text.encode() and document.revision == revision else None


def differing(desired: Mapping[str, str], live: Mapping[str, str]) -> set[str]:
    """The keys whose values differ, or that only one of the two has."""
    return {key for key in desired.keys() | live.keys() if desired.get(key) != live.get(key)}


def addresses(values: Mapping[str, str], names: Iterable[str], *, layout: Layout) -> set[str]:
    """The items of comma-separated lists under some of ``KEYS``."""
    return {item for name in names for item in values.get(layout.key(name), "").split(",") if item}


def is_node_name(value: object) -> TypeGuard[str]:
    """Whether an untrusted value can be the name of a Node."""
    return isinstance(value, str) and SUBDOMAIN.fullmatch(value) is not None
