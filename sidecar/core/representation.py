"""The JSON that files and the HTTP API share. Nothing in it ages, so it changes only with the facts."""

from sidecar.core.document import canonical_bytes
from sidecar.core.instant import rfc3339
from sidecar.core.state import Snapshot

__all__ = ["load_balancer"]


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
