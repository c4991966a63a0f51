"""What a node agent says, for the tests of what becomes of its word."""

import json
from collections.abc import Mapping
from typing import Any

from sidecar.core.document import Document
from sidecar.core.instant import rfc3339
from sidecar.core.outcome import Reason, Status, UpstreamAnswer
from sidecar.core.upstream import UpstreamResponse
from tests.core.examples import FULL, at, document, inbound, outbound, public, utc

NODE = "aks-pool1-12345678-vmss000000"
OTHER = document(public=public("20.1.2.4"), inbound=inbound("20.20.20.20"), out=outbound("52.1.1.1"))


def body(document: Document = FULL, **members: Any) -> bytes:
    """The body of ``/v1/loadbalancer``, with these members set, or removed where `...`."""
    value = {
        "node": NODE,
        "status": "no-metadata" if document.empty else "ok",
        "reason": "no-metadata" if document.empty else None,
        "revision": document.revision,
        "changedAt": rfc3339(utc(-3600)),
        "loadbalancer": document.wire(),
        **members,
    }
    return json.dumps({name: member for name, member in value.items() if member is not ...}).encode()


def response(content: bytes | None = None, **attributes: Any) -> UpstreamResponse:
    """A response of a healthy agent whose data are 7 s old, but for these attributes."""
    given: Mapping[str, Any] = {"status": 200, "age": "7", "node": NODE, "agent_status": "ok"}
    return UpstreamResponse(body=body() if content is None else content, **{**given, **attributes})


def said(
    document: Document = FULL,
    status: Status | None = None,
    reason: Reason | None = None,
    *,
    age: float = 0,
    now: float = 0,
) -> UpstreamAnswer:
    """A node agent's word `now` seconds after the start, on data that were `age` seconds old."""
    return UpstreamAnswer(
        document=document,
        body=document.canonical,
        status=status or (Status.NO_METADATA if document.empty else Status.OK),
        reason=reason,
        changed_at=utc(-3600),
        node=NODE,
        observed=at(now - age),
    )
