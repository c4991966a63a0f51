"""What the page has to show well: states of an agent, with addresses that are kept for documentation."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sidecar.core.addresses import IPAddress, parse_address
from sidecar.core.egress import Observation, declared_networks
from sidecar.core.instant import Instant
from sidecar.core.outcome import NONE, Failure, Outcome, Reason, Success
from sidecar.core.probes import Flow, FlowFailure, parse_probe
from sidecar.core.state import Snapshot, State
from tests.api.support import API, api_running
from tests.support.states import EPOCH, answer, body, inbound, later, pair, snapshot_after

_OWN, _OWN_V6 = "10.224.0.4", "fd12:3456:789a::4"
_WEB, _VOICE = "203.0.113.240", "203.0.113.241"
_PUBLIC, _PUBLIC_V6 = "192.0.2.4", "2001:db8:5::4"
_LEAVES = "198.51.100.7"
_SECONDS_SINCE = 4
"""From the last attempt to the request for the page."""


@dataclass(frozen=True)
class Scene:
    """A state of an agent some seconds after its last attempt."""

    name: str
    outcomes: Sequence[Outcome]
    interval: float = 10.0
    """Seconds from one attempt to the next."""
    state: State | None = None
    """What the agent knew before the first attempt."""

    @property
    def snapshot(self) -> Snapshot:
        """What readers of the state are given."""
        return snapshot_after(*self.outcomes, interval=self.interval, state=self.state)

    @property
    def now(self) -> Instant:
        """The moment of the request."""
        return later((len(self.outcomes) - 1) * self.interval + _SECONDS_SINCE)


@asynccontextmanager
async def served(scene: Scene, **settings: Any) -> AsyncIterator[tuple[API, str]]:
    """An API that shows a scene, and the URL of its page."""
    async with api_running(scene.snapshot, **{"node_address": parse_address(_OWN), **settings}) as api:
        api.clock.now = scene.now
        yield api, "http://{}:{}/".format(*api.address)


def _facts(*rules: dict[str, Any], more: bool = True) -> Success:
    """A node with two public addresses, some rules, and, if there is `more`, an outbound rule."""
    return answer(
        body(
            public=[pair(_PUBLIC, _OWN), pair(_PUBLIC_V6, _OWN_V6)],
            inbound_rules=rules,
            outbound=[pair(_LEAVES, _OWN)] if more else [],
        )
    )


def _rule(frontend: str, port: int, backend_port: int, protocol: str = "Tcp") -> dict[str, Any]:
    return inbound(frontend, port, backend_port, private=_OWN, protocol=protocol)


_THREE = (_rule(_WEB, 80, 30080), _rule(_WEB, 443, 30443), _rule(_VOICE, 5060, 5060, "Udp"))


def _many() -> Iterator[dict[str, Any]]:
    """250 rules: of a game server, of sites with floating IP, of services unlike each other, of IPv6."""
    for port in range(100):
        yield _rule(_WEB, 7000 + port, 7000 + port, "Udp")
    for site in range(40):
        frontend = f"203.0.113.{100 + site}"
        for port in (80, 443):
            yield inbound(frontend, port, port, private=frontend)
    for service in range(15):
        for port in (443, 5000 + service, 8000 + 2 * service, 30000 + 100 * service):
            yield _rule(f"198.51.100.{10 + service}", port, 31000 + service)
    yield inbound("2001:db8:aaaa:bbbb:cccc:dddd:eeee:1", 0, 0, private=_OWN_V6, protocol="All")
    for port in (53, 853, 5060, 5061, 5062, 5349, 8080, 8443, 9000):
        yield inbound("2001:db8::5", port, port + 20000, private=_OWN_V6)


_TIMED_OUT = Failure(reason=Reason.UNREACHABLE, detail="no answer within 5 s")
_BUSY = Failure(reason=Reason.UNAVAILABLE, detail="status 503: Service Unavailable", status=503)

_STUN, _STUN_TCP, _ECHO = (
    parse_probe(text)
    for text in ("stun:stun.example.org", "stun+tcp:stun.example.org", "https://ip.example.org/address")
)


def _seen(*addresses: str) -> State:
    """An agent whose operator declared a network, and whose probes saw these addresses, some failing."""
    own = parse_address(_OWN)
    flows = [Flow(probe=_STUN, family=4, address=parse_address(each), own=own) for each in addresses]
    ipv6: IPAddress = parse_address(_PUBLIC_V6)
    flows.append(Flow(probe=_ECHO, family=6, address=ipv6, own=parse_address(_OWN_V6)))
    flows.append(
        Flow(probe=_ECHO, family=4, failure=FlowFailure.CERTIFICATE, detail="certificate has expired")
    )
    flows.append(Flow(probe=_STUN_TCP, family=4, failure=FlowFailure.NO_ANSWER, detail="4 tries within 3 s"))
    observation = Observation((_STUN, _STUN_TCP, _ECHO)).after_round(flows, now=EPOCH, keep=86_400.0)
    return State(started=EPOCH, declared=declared_networks(["203.0.113.0/30"]), observation=observation)


THREE_RULES = Scene(
    "three-rules", (_facts(_THREE[0]), _facts(*_THREE[:2]), _BUSY, *[_facts(*_THREE)] * 3), interval=600
)
SCENES = (
    THREE_RULES,
    Scene("no-rules", [_facts(more=False)] * 3),
    Scene("many-rules", (_facts(*_THREE), *[_facts(*_many())] * 4)),
    Scene("stale", (_facts(_THREE[0]), *[_facts(*_THREE)] * 2, *[_BUSY, _TIMED_OUT] * 4), interval=60),
    Scene("no-metadata", [NONE] * 4),
    Scene("starting", [_TIMED_OUT] * 3),
    Scene("egress-unlisted", [_facts(*_THREE)] * 3, state=_seen("203.0.113.1", "203.0.113.2", "203.0.113.9")),
    Scene("egress-agrees", [_facts(*_THREE)] * 3, state=_seen("203.0.113.1", "203.0.113.2")),
)


def scene_named(name: str) -> Scene:
    """One of the scenes."""
    return next(scene for scene in SCENES if scene.name == name)
