"""What the agents of these tests know."""

from collections.abc import Sequence

from sidecar.core.state import Snapshot
from tests.support import states

DUAL_STACK = states.snapshot_after(
    states.answer(
        states.body(
            public=[
                states.pair("[2603:1020:10:5::34]", "[fd00::10]"),
                states.pair("20.10.5.34"),
                states.pair("20.10.5.4", "10.240.0.5"),
            ],
            inbound_rules=[
                states.inbound("[2603:1020::5]", 443, 30443, private="[fd00::10]"),
                states.inbound("20.20.20.20", 443, 30443),
                states.inbound("20.20.20.20", 53, 53, protocol="Udp", private="20.20.20.20"),
                states.inbound("10.240.0.100", 0, 0, protocol="All"),
            ],
            outbound=[states.pair("52.2.2.2"), states.pair("52.1.1.1")],
        )
    )
)
"""IPv6 in brackets, a rule with floating IP, and HA ports on an internal frontend."""

PUBLIC = [states.pair("20.1.2.3")]


def with_rules(count: int, public: Sequence[dict[str, str]] = PUBLIC) -> bytes:
    """An answer with so many rules."""
    rules = [states.inbound("20.20.20.20", port, 30000) for port in range(1, count + 1)]
    return states.body(public=public, inbound_rules=rules)


def after(*bodies: bytes) -> Snapshot:
    """The snapshot after these answers."""
    return states.snapshot_after(*[states.answer(body) for body in bodies])


STARTING = states.snapshot_after(states.unreachable())
"""No answer so far."""

DATA = after(with_rules(1))
MOVED = after(with_rules(1), with_rules(1, [states.pair("20.9.9.9")]))
"""The public IP address is another one."""
