"""Nodes behind the two calls that the publisher makes, with an API server's refusals and failures."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sidecar.kube import (
    ForbiddenError,
    KubernetesError,
    NodeMetadata,
    NodeNotFoundError,
    NodeReplacedError,
    RejectedError,
    ServerError,
    ThrottledError,
)
from tests.support.fake_node import FakeNode


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call as it came in."""

    at: float
    """Time of the event loop."""
    method: str
    """``get``, ``apply`` or ``remove``."""
    name: str
    cached: bool | None = None
    uid: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    field_manager: str | None = None
    keys: frozenset[str] = frozenset()
    """That are removed."""


class FakeNodes:
    """Nodes by name, a cache that may lag behind, a script of failures, and a record of the calls."""

    def __init__(self) -> None:
        self.nodes: dict[str, FakeNode] = {}
        self.cache: dict[str, NodeMetadata] = {}
        """What reads from the cache get; a name that is not in it is up to date."""
        self.failures: deque[KubernetesError | None] = deque()
        """Used up one per call; ``None`` and the end of it let a call through."""
        self.after: deque[KubernetesError] = deque()
        """Used up one per apply, which is done and then fails so."""
        self.outage: KubernetesError | None = None
        """Fails every call as long as it is set."""
        self.latency = 0.0
        """Seconds that every call takes."""
        self.calls: list[Call] = []

    def add(self, name: str, annotations: Mapping[str, str] | None = None) -> FakeNode:
        """Make a Node, anew if there is one of that name; its annotations are somebody else's."""
        node = self.nodes[name] = FakeNode()
        for key, value in (annotations or {}).items():
            node.annotate(key, value)
        return node

    def freeze_cache(self, name: str) -> None:
        """Let the cache keep a Node as it is now."""
        self.cache[name] = _metadata(name, self.nodes[name])

    async def get(self, name: str, *, cached: bool) -> NodeMetadata:
        """Read a Node's metadata."""
        await self._called(Call(at=_time(), method="get", name=name, cached=cached))
        if cached and name in self.cache:
            return self.cache[name]
        if name not in self.nodes:
            raise NodeNotFoundError(f'nodes "{name}" not found', status=404)
        return _metadata(name, self.nodes[name])

    async def apply(
        self, name: str, *, uid: str, annotations: Mapping[str, str], field_manager: str
    ) -> NodeMetadata:
        """Apply annotations, forced."""
        await self._called(
            Call(
                at=_time(),
                method="apply",
                name=name,
                uid=uid,
                annotations=dict(annotations),
                field_manager=field_manager,
            )
        )
        node = self.nodes.get(name)
        if node is None:
            raise NodeReplacedError("uid mismatch, no existing object was found", status=409)
        if node.uid != uid:
            raise NodeReplacedError(f'Node "{name}" is invalid: metadata.uid is immutable', status=422)
        node.apply(annotations, manager=field_manager)
        if self.after:
            raise self.after.popleft()
        return _metadata(name, node)

    async def remove(self, name: str, *, uid: str, keys: Iterable[str], field_manager: str) -> NodeMetadata:
        """Remove annotations, whoever owns them."""
        given = frozenset(keys)
        await self._called(
            Call(at=_time(), method="remove", name=name, uid=uid, keys=given, field_manager=field_manager)
        )
        node = self.nodes.get(name)
        if node is None:
            raise NodeNotFoundError(f'nodes "{name}" not found', status=404)
        if node.uid != uid:
            raise NodeReplacedError(f'Node "{name}" is invalid: metadata.uid is immutable', status=422)
        node.remove_all(given)
        return _metadata(name, node)

    async def _called(self, call: Call) -> None:
        self.calls.append(call)
        await asyncio.sleep(self.latency)
        failure = self.failures.popleft() if self.failures else self.outage
        if failure is not None:
            raise failure

    def times(self, method: str) -> list[float]:
        """When a method was called."""
        return [call.at for call in self.calls if call.method == method]

    @property
    def applied(self) -> list[Call]:
        """The calls of ``apply``, failed ones too."""
        return [call for call in self.calls if call.method == "apply"]


def _time() -> float:
    return asyncio.get_running_loop().time()


def _metadata(name: str, node: FakeNode) -> NodeMetadata:
    return NodeMetadata(
        name=name,
        uid=node.uid,
        resource_version=str(node.version),
        annotations=dict(node.annotations),
        managed_fields=node.managed_fields,
    )


def forbidden() -> KubernetesError:
    """The agent's role is missing."""
    return ForbiddenError('nodes "node-1" is forbidden', advice="let it patch nodes", status=403)


def rejected() -> KubernetesError:
    """A policy denies the write."""
    return RejectedError("denied by a policy", advice="look at the policy", status=422)


def throttled(retry_after: float) -> KubernetesError:
    """The API server asks to wait so many seconds."""
    return ThrottledError("too many requests", status=429, retry_after=retry_after)


def unavailable() -> KubernetesError:
    """The API server is in trouble."""
    return ServerError("etcdserver: leader changed", status=503)
