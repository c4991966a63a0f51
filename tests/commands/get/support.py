"""What tests of `get` speak of: the answers of one load balancer, and the text forms of them."""

from collections.abc import Awaitable, Callable
from typing import Any

from sidecar.core.state import Snapshot
from tests.support.commands import Ended
from tests.support.states import body, inbound, pair

Get = Callable[..., Awaitable[Ended]]
"""Runs ``get`` with these arguments."""

NewAgent = Callable[[Snapshot], Any]

Tell = Callable[[str, str | dict[str, str], Snapshot], Awaitable[None]]
"""Has the metadata service say this document, and starts an agent that knows as much if that is asked."""

BODY = body(
    public=[pair("20.1.2.3"), pair("20.9.9.9", "10.240.0.5"), pair("2001:db8::7", "fd00::4")],
    inbound_rules=[inbound("20.20.20.20", 443, 30443), inbound("2001:db8::20", 53, 53, protocol="Udp")],
    outbound=[pair("52.1.1.1")],
)

TEXTS = {
    "public-ip": "20.9.9.9\n",
    "public-ips": "20.1.2.3\n20.9.9.9\n2001:db8::7\n",
    "inbound-ips": "20.20.20.20\n2001:db8::20\n",
    "outbound-ips": "52.1.1.1\n",
    "egress-ips": "20.1.2.3\n20.9.9.9\n2001:db8::7\n",
    "inbound-rules": "tcp 20.20.20.20:443 -> 10.240.0.4:30443\nudp [2001:db8::20]:53 -> 10.240.0.4:53\n",
    "outbound-rules": "10.240.0.4 -> 52.1.1.1\n",
}
"""What each answer is as text on a node whose address is 10.240.0.5."""
