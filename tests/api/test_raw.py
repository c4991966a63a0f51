"""The metadata service's last answer as it came."""

import json

from sidecar.core.outcome import NONE
from tests.api.support import api_running
from tests.support import states


async def test_raw() -> None:
    """The last answer comes byte for byte, spaces and unknown keys included."""
    body = (
        b' {"loadbalancer": {"publicIpAddresses": [], "new": 1, "inboundRules": [], "outboundRules": []}}\n'
    )
    with_data = states.answer(states.body(public=[states.pair("20.1.2.3")]))
    async with api_running(states.snapshot_after(with_data, states.answer(body))) as api:
        raw, guarded = await api.get("/v1/raw"), await api.get("/v1/public-ips")

    assert raw.body == body
    assert raw.headers["Content-Type"] == "application/json"
    assert guarded.json == ["20.1.2.3"]


async def test_raw_follows_each_answer() -> None:
    """Bytes that changed without changing the document are served at once."""
    body = states.body(public=[states.pair("20.1.2.3")])
    async with api_running(states.snapshot_after(states.answer(body))) as api:
        before = await api.get("/v1/raw")
        api.latest.set(states.snapshot_after(states.answer(body), states.answer(body + b"\n")))
        after = await api.get("/v1/raw")

    assert (before.body, after.body) == (body, body + b"\n")


async def test_raw_of_nothing() -> None:
    """Where the last answer was "none", raw is a 404 that says so, guard or not."""
    with_data = states.answer(states.body(public=[states.pair("20.1.2.3")]))
    async with api_running(states.snapshot_after(with_data, NONE)) as api:
        reply = await api.get("/v1/raw")

    assert reply.status == 404
    assert "no load balancer metadata" in json.loads(reply.body)["detail"]


async def test_raw_before_empty_data_are_accepted() -> None:
    """A first answer that lists nothing can be read raw before it is believed."""
    async with api_running(states.snapshot_after(states.answer(states.EMPTY_BODY))) as api:
        raw, listed = await api.get("/v1/raw"), await api.get("/v1/public-ips")

    assert (raw.status, raw.body) == (200, states.EMPTY_BODY)
    assert "Age" not in raw.headers
    assert listed.status == 503
