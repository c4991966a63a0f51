"""The document as JSON with its status, as environment variables, and as ``KEY=value`` lines."""

import shlex
from collections.abc import Mapping

from sidecar.core import views
from sidecar.core.addresses import IPAddress, IPNetwork
from sidecar.core.document import EMPTY, canonical_bytes
from sidecar.core.egress import SharedEgress
from sidecar.core.instant import rfc3339
from sidecar.core.state import Snapshot


def load_balancer(snapshot: Snapshot, *, node: str | None) -> bytes:
    """The whole answer: ``node``, ``status``, ``reason``, ``revision``, ``changedAt``, ``loadbalancer``.

    And ``egress`` where anything is declared or probed.

    Raises:
        ValueError: the state has no document yet.
    """
    state = snapshot.state
    if state.document is None or state.changed_at is None:
        raise ValueError("a state without a document has no representation")
    members: dict[str, object] = {
        "node": node,
        "status": snapshot.status,
        "reason": snapshot.reason,
        "revision": state.document.revision,
        "changedAt": rfc3339(state.changed_at),
    }
    shared = state.shared_egress
    if shared != SharedEgress():
        # What the document does not have, so that sidecars and commands say the same of egress.
        networks, observed = (list(map(str, items)) for items in (shared.networks, shared.observed))
        members["egress"] = {"networks": networks, "observed": observed, "state": shared.state}
    envelope = canonical_bytes(members)
    # The document keeps its own bytes, which may be long and are made already.
    return envelope[:-1] + b',"loadbalancer":' + state.document.canonical + b"}"


def variables(snapshot: Snapshot, *, node: str | None, node_address: IPAddress | None) -> dict[str, str]:
    """The ``AZURE_LB_*`` variables: all of them always, empty when there is none.

    Neither revision nor age is among them, so they change only when an address or the status does.
    """
    document, shared = snapshot.state.document or EMPTY, snapshot.state.shared_egress
    values = {
        "NODE": node or "",
        "STATUS": snapshot.status,
        "PUBLIC_IP": views.public_ip(document, node_address, family=4) or "",
        "PUBLIC_IPV6": views.public_ip(document, node_address, family=6) or "",
        "PUBLIC_IPS": _joined(views.public_ips(document)),
        "INBOUND_IPS": _joined(views.inbound_ips(document)),
        "OUTBOUND_IPS": _joined(views.outbound_ips(document)),
        "EGRESS_IPS": _joined(snapshot.state.egress.addresses),
        "EGRESS_NETWORKS": _joined(shared.networks),
        "EGRESS_OBSERVED": _joined(shared.observed),
    }
    return {f"AZURE_LB_{name}": str(value) for name, value in values.items()}


def _joined(items: tuple[IPAddress | IPNetwork, ...]) -> str:
    return ",".join(map(str, items))


def print_variables(values: Mapping[str, str]) -> str:
    """Lines that a POSIX shell can source and that most ``.env`` readers understand."""
    return "".join(f"{name}={shlex.quote(value) if value else ''}\n" for name, value in values.items())
