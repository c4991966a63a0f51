"""The JSON that files and the HTTP API share. Nothing in it ages, so it changes only with the facts."""

from typing import Any

from sidecar.core.instant import rfc3339
from sidecar.core.state import Snapshot

__all__ = ["load_balancer"]


def load_balancer(snapshot: Snapshot, *, node: str | None) -> dict[str, Any]:
    """The whole answer: ``node``, ``status``, ``reason``, ``revision``, ``changedAt``, ``loadbalancer``.

    Raises:
        ValueError: the state has no document yet.
    """
    state = snapshot.state
    if state.document is None or state.changed_at is None:
        raise ValueError("a state without a document has no representation")
    return {
        "node": node,
        "status": snapshot.status,
        "reason": snapshot.reason,
        "revision": state.document.revision,
        "changedAt": rfc3339(state.changed_at),
        "loadbalancer": state.document.wire(),
    }
