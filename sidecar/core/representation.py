"""The document as JSON with its status, as environment variables, and as ``KEY=value`` lines."""

import shlex
from collections.abc import Mapping

from sidecar.core import views
from sidecar.core.addresses import IPAddress
from sidecar.core.document import EMPTY, canonical_bytes
from sidecar.core.instant import rfc3339
from sidecar.core.state import Snapshot


def load_balancer(snapshot: Snapshot, *, node: str | None) -> bytes:
    """The whole answer: ``node``, ``status``, ``reason``, ``revision``, ``changedAt``, ``loadbalancer``.

    Raises:
        ValueError: the state has no document yet.
    """
    state = snapshot.state
    if state.document is None or state.changed_at is None:
        raise ValueError("a state without a document has no representation")
    envelope = canonical_bytes(
        {
            "node": node,
            "status": snapshot.status,
            "reason": snapshot.reason,
            "revision": state.document.revision,
            "changedAt": rfc3339(state.changed_at),
        }
    )
    # The document keeps its own bytes, which may be long and are made already.
    return envelope[:-1] + b',"loadbalancer":' + state.document.canonical + b"}"


def variables(snapshot: Snapshot, *, node: str | None, node_address: IPAddress | None) -> dict[str, str]:
    """The ``AZURE_LB_*`` variables: all of them always, empty when there is none.

    Neither revision nor age is among them, so they change only when an address or the status does.
    """
    document = snapshot.state.document or EMPTY
    values = {
        "NODE": node or "",
        "STATUS": snapshot.status,
        "PUBLIC_IP": views.public_ip(document, node_address, family=4) or "",
        "PUBLIC_IPV6": views.public_ip(document, node_address, family=6) or "",
        "PUBLIC_IPS": _joined(views.public_ips(document)),
        "INBOUND_IPS": _joined(views.inbound_ips(document)),
        "OUTBOUND_IPS": _joined(views.outbound_ips(document)),
        "EGRESS_IPS": _joined(views.egress_ips(document)),
    }
    return {f"AZURE_LB_{name}": str(value) for name, value in values.items()}


def _joined(addresses: tuple[IPAddress, ...]) -> str:
    return ",".join(map(str, addresses))


def print_variables(values: Mapping[str, str]) -> str:
    """Lines that a POSIX shell can source and that most ``.env`` readers understand."""
    return "".join(f"{name}={shlex.quote(value) if value else ''}\n" for name, value in values.items())
