"""Removing annotations from many Nodes: what is to go, and one Node after the other until it is gone."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sidecar.core.annotations import field_manager
from sidecar.core.cluster import AgentDaemonSet, user_of
from sidecar.core.instant import print_duration
from sidecar.errors import Error
from sidecar.kube import (
    KubernetesError,
    MalformedBodyError,
    NodeNotFoundError,
    NodeReplacedError,
    RejectedError,
)
from sidecar.kube.client import solely_applied
from sidecar.kube.fleet import DaemonSet, ObjectMetadata, OperatorClient

ROUNDS = 5
"""How often a Node is written before keys that come back are a failure."""

GIVE_UP_AFTER = 20
"""Failures in a row that are not the Node's own, after which no other Node is tried."""


class Result(StrEnum):
    """What became of one Node."""

    REMOVED = "removed"
    WOULD_REMOVE = "would-remove"
    CLEAN = "clean"
    """It was named and has no such keys."""
    GONE = "gone"
    """It was deleted meanwhile."""
    IN_USE = "in-use"
    """Other agents write under the prefix there."""
    FAILED = "failed"
    NOT_TRIED = "not-tried"
    """The API server had refused or failed too many before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One Node's result."""

    node: str
    result: Result
    keys: tuple[str, ...] = ()
    """What was removed, or would be."""
    error: str = ""
    """Why it failed; the DaemonSet that uses it."""
    systemic: bool = False
    """Whether the failure is likely to meet every other Node as well."""


@dataclass(frozen=True, slots=True)
class PruneSelection:
    """Which annotations are to go."""

    prefix: str
    owned_only: bool = False
    """Only those that the prefix's own field manager applied and nobody else owns."""
    daemon_sets: Sequence[AgentDaemonSet] = ()
    """Of agents that run; Nodes to which they write under the prefix are left alone."""

    def user(self, node: ObjectMetadata) -> AgentDaemonSet | None:
        """Whose agents write under the prefix to a Node."""
        return user_of(node.labels, self.daemon_sets, prefix=self.prefix)

    @property
    def manager(self) -> str:
        """The field manager of agents with this prefix."""
        return field_manager(self.prefix)

    def keys(self, node: ObjectMetadata) -> tuple[str, ...]:
        """Those of a Node's annotations, sorted."""
        keys = {key for key in node.annotations if key.startswith(f"{self.prefix}/")}
        if self.owned_only:
            keys &= solely_applied(node.managed_fields, manager=self.manager)
        return tuple(sorted(keys))


@dataclass(frozen=True, slots=True)
class Target:
    """A Node that has such keys: all that is kept of it, so that 5,000 of them weigh little."""

    name: str
    uid: str
    keys: tuple[str, ...]
    user: AgentDaemonSet | None = None
    """Whose agents would write them again."""


async def targets(
    client: OperatorClient, scope: PruneSelection, *, read: Callable[[int], None]
) -> list[Target]:
    """All Nodes that have keys to remove, by name.

    Args:
        client: Of the cluster.
        scope: Which keys.
        read: Is told how many Nodes have been read so far.

    Raises:
        KubernetesError: the list could not be had.
    """
    seen: set[str] = set()
    found: dict[str, Target] = {}
    # Most Nodes have the same keys.
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    async for page in client.nodes():
        for node in page:
            seen.add(node.name)
            found.pop(node.name, None)
            if keys := scope.keys(node):
                keys = shared.setdefault(keys, keys)
                found[node.name] = Target(node.name, node.uid, keys, scope.user(node))
        read(len(seen))
    return [target for _, target in sorted(found.items())]


@dataclass(frozen=True, slots=True)
class Pruner:
    """Makes Nodes have no such keys."""

    client: OperatorClient
    scope: PruneSelection
    dry_run: bool = False

    async def prune(self, node: Target | str) -> Outcome:
        """Remove the keys of one Node, known already or by name; a failure is an outcome, too."""
        name = node if isinstance(node, str) else node.name
        try:
            if isinstance(node, Target):
                return await self._prune(node)
            return await self._prune_named(node)
        except KubernetesError as error:
            own = isinstance(error, RejectedError | MalformedBodyError)
            return Outcome(node=name, result=Result.FAILED, error=str(error), systemic=not own)
        except Error as error:
            return Outcome(node=name, result=Result.FAILED, error=str(error))

    async def _prune_named(self, name: str) -> Outcome:
        node = await self.client.node(name)
        if node is None:
            raise Error("there is no such Node")
        keys = self.scope.keys(node)
        if not keys:
            return Outcome(node=name, result=Result.CLEAN)
        if user := self.scope.user(node):
            raise Error(
                f"agents of DaemonSet {user} write under {self.scope.prefix} there",
                advice="end them first, or give --ignore-daemonsets",
            )
        return await self._prune(Target(name, node.uid, keys))

    async def _prune(self, target: Target) -> Outcome:
        if target.user is not None:
            return Outcome(node=target.name, result=Result.IN_USE, keys=target.keys, error=str(target.user))
        if self.dry_run:
            return Outcome(node=target.name, result=Result.WOULD_REMOVE, keys=target.keys)
        removed: set[str] = set()
        for _ in range(ROUNDS):
            node = await self._written(target)
            if node is None:
                return Outcome(node=target.name, result=Result.GONE)
            left = self.scope.keys(node)
            if node.uid == target.uid:
                removed.update(set(target.keys) - set(left))
            if not left:
                return Outcome(node=target.name, result=Result.REMOVED, keys=tuple(sorted(removed)))
            target = Target(node.name, node.uid, left)
        raise Error(
            f"{', '.join(target.keys)} came back each time",
            advice="an agent or an admission webhook writes them: remove that first",
        )

    async def _written(self, target: Target) -> ObjectMetadata | None:
        """The Node after a write, or as it is now if it was made anew; ``None`` if it is gone."""
        try:
            if self.scope.owned_only:
                manager = self.scope.manager
                return await self.client.remove_owned(target.name, uid=target.uid, manager=manager)
            return await self.client.remove_annotations(target.name, uid=target.uid, keys=target.keys)
        except NodeNotFoundError:
            return None
        except NodeReplacedError:
            return await self.client.node(target.name)


async def each(
    nodes: Iterable[Target | str], *, pruner: Pruner, concurrency: int, done: Callable[[Outcome], None]
) -> None:
    """Prune Nodes, several at a time, and report each outcome as it comes.

    After `GIVE_UP_AFTER` failures in a row that would meet every Node, the others are not tried.
    """
    waiting = iter(nodes)
    failures = 0

    async def work() -> None:
        nonlocal failures
        # All workers take from the same iterator: between two of its steps none of them waits.
        for node in waiting:
            if failures >= GIVE_UP_AFTER:
                name = node if isinstance(node, str) else node.name
                done(Outcome(node=name, result=Result.NOT_TRIED))
                continue
            outcome = await pruner.prune(node)
            failures = failures + 1 if outcome.systemic else 0
            done(outcome)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())


_NAMED = 5
"""Pods that an error names; the rest are counted."""


async def waited_for_deletion(
    client: OperatorClient,
    which: DaemonSet,
    *,
    pod_selector: str,
    timeout: float,  # noqa: ASYNC109 - its end is an error of ours, which names what is left
) -> bool:
    """Wait until a DaemonSet that is being deleted is gone, with its pods.

    Pods that a Job controls do not count: a hook may carry the labels that it waits for.

    Args:
        client: Of the cluster.
        which: The DaemonSet.
        pod_selector: Labels of its pods, as kubectl takes them.
        timeout: Seconds.

    Returns:
        Whether it is gone; false, at once, while it exists and is not being deleted.

    Raises:
        Error: something is left after that time.
    """
    left: list[str] = []
    delay = 0.5
    try:
        async with asyncio.timeout(timeout):
            while True:
                daemon_set = await client.daemon_set(which)
                if daemon_set is not None and not daemon_set.deleting:
                    return False
                there = [] if daemon_set is None else [f"DaemonSet {which}"]
                async for page in client.unfinished_pods(which.namespace, selector=pod_selector):
                    there += [f"pod {pod.name}" for pod in page if pod.controller != "Job"]
                if not there:
                    return True
                left = there
                await asyncio.sleep(delay)
                delay = min(1.5 * delay, 5.0)
    except TimeoutError:
        pass
    more = len(left) - _NAMED
    listed = ", ".join(left[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    what = f"there is still {listed}" if left else f"it is not known whether DaemonSet {which} is gone"
    raise Error(
        f"after {print_duration(timeout)} {what}",
        advice="nothing was removed; see why it does not end, and repeat",
    )
