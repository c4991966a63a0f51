"""Removing annotations from many Nodes: which keys go, and the writes to each Node until they are gone."""

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
from sidecar.kube.client import NodeMetadata, solely_applied
from sidecar.kube.listing import DaemonSetName, FleetClient

ROUNDS = 5
"""How often a Node is written before keys that come back are a failure."""

GIVE_UP_AFTER = 20
"""Failures in a row that are not the Node's own, after which no other Node is tried."""


class Result(StrEnum):
    """The result for one Node."""

    REMOVED = "removed"
    WOULD_REMOVE = "would-remove"
    CLEAN = "clean"
    """Given by name, and without such keys."""
    GONE = "gone"
    """It was deleted meanwhile."""
    IN_USE = "in-use"
    """Other agents write under the prefix there."""
    FAILED = "failed"
    NOT_TRIED = "not-tried"
    """Too many requests before it had failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One Node's result."""

    node: str
    result: Result
    keys: tuple[str, ...] = ()
    """What was removed, or would be."""
    error: str = ""
    """Why it failed; of `Result.IN_USE` the DaemonSet whose agents write to it."""
    systemic: bool = False
    """Whether the same failure is likely with every other Node."""


@dataclass(frozen=True, slots=True)
class PruneSelection:
    """Which annotations are removed."""

    prefix: str
    owned_only: bool = False
    """Only those that the prefix's own field manager applied and nobody else owns."""
    daemon_sets: Sequence[AgentDaemonSet] = ()
    """Of running agents; Nodes to which they write under the prefix are left alone."""

    def user(self, node: NodeMetadata) -> AgentDaemonSet | None:
        """The DaemonSet whose agents write under the prefix to a Node; ``None`` if there is none."""
        return user_of(node.labels, self.daemon_sets, prefix=self.prefix)

    @property
    def manager(self) -> str:
        """The field manager of agents with this prefix."""
        return field_manager(self.prefix)

    def keys(self, node: NodeMetadata) -> tuple[str, ...]:
        """The keys to remove from a Node, sorted."""
        keys = {key for key in node.annotations if key.startswith(f"{self.prefix}/")}
        if self.owned_only:
            keys &= solely_applied(node.managed_fields, manager=self.manager)
        return tuple(sorted(keys))


@dataclass(frozen=True, slots=True)
class Target:
    """A Node with keys to remove; no more is kept of it, so that 5,000 of them need little memory."""

    name: str
    uid: str
    keys: tuple[str, ...]
    user: AgentDaemonSet | None = None
    """The DaemonSet whose agents would write them again."""


async def targets(
    client: FleetClient, selection: PruneSelection, *, read: Callable[[int], None]
) -> list[Target]:
    """All Nodes that have keys to remove, by name.

    Args:
        client: Of the cluster.
        selection: Which keys.
        read: Called with the number of Nodes read so far.

    Raises:
        KubernetesError: the Nodes could not be listed.
    """
    seen: set[str] = set()
    found: dict[str, Target] = {}
    # Most Nodes have the same keys.
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    async for page in client.nodes_metadata():
        for node in page:
            seen.add(node.name)
            found.pop(node.name, None)
            if keys := selection.keys(node):
                keys = shared.setdefault(keys, keys)
                found[node.name] = Target(node.name, node.uid, keys, selection.user(node))
        read(len(seen))
    return [target for _, target in sorted(found.items())]


@dataclass(frozen=True, slots=True)
class Pruner:
    """Removes the keys from Nodes."""

    client: FleetClient
    selection: PruneSelection
    dry_run: bool = False

    async def prune(self, node: Target | str) -> Outcome:
        """Remove the keys of a Node that has been read, or is given by name; a failure is an outcome, too."""
        name = node if isinstance(node, str) else node.name
        try:
            if isinstance(node, str):
                found = await self.client.node_metadata(name)
                if found is None:
                    raise Error("there is no such Node")
                keys = self.selection.keys(found)
                if not keys:
                    return Outcome(node=name, result=Result.CLEAN)
                if user := self.selection.user(found):
                    raise Error(
                        f"agents of DaemonSet {user} write under {self.selection.prefix} there",
                        advice="end them first, or give --ignore-daemonsets",
                    )
                node = Target(name, found.uid, keys)
            if node.user is not None:
                return Outcome(node=name, result=Result.IN_USE, keys=node.keys, error=str(node.user))
            if self.dry_run:
                return Outcome(node=name, result=Result.WOULD_REMOVE, keys=node.keys)
            return await self._remove(node)
        except KubernetesError as error:
            own = isinstance(error, RejectedError | MalformedBodyError)
            return Outcome(node=name, result=Result.FAILED, error=str(error), systemic=not own)
        except Error as error:
            return Outcome(node=name, result=Result.FAILED, error=str(error))

    async def _remove(self, target: Target) -> Outcome:
        """Write a Node until its keys are gone, `ROUNDS` times at most."""
        removed: set[str] = set()
        for _ in range(ROUNDS):
            node: NodeMetadata | None
            try:
                if self.selection.owned_only:
                    manager = self.selection.manager
                    node = await self.client.remove_owned(target.name, uid=target.uid, manager=manager)
                else:
                    node = await self.client.remove_annotations(target.name, uid=target.uid, keys=target.keys)
            except NodeNotFoundError:
                node = None
            except NodeReplacedError:
                node = await self.client.node_metadata(target.name)
            if node is None:
                return Outcome(node=target.name, result=Result.GONE)
            left = self.selection.keys(node)
            if node.uid == target.uid:
                removed.update(set(target.keys) - set(left))
            if not left:
                return Outcome(node=target.name, result=Result.REMOVED, keys=tuple(sorted(removed)))
            target = Target(node.name, node.uid, left)
        raise Error(
            f"{', '.join(target.keys)} came back each time",
            advice="an agent or an admission webhook writes them: remove that first",
        )


async def prune_all(
    nodes: Iterable[Target | str], *, pruner: Pruner, concurrency: int, done: Callable[[Outcome], None]
) -> None:
    """Prune Nodes, several at a time, and report each outcome as it comes.

    After `GIVE_UP_AFTER` systemic failures in a row, the other Nodes are not tried.
    """
    waiting = iter(nodes)
    failures = 0

    async def work() -> None:
        nonlocal failures
        # All workers share this iterator, whose steps contain no await.
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
    client: FleetClient,
    which: DaemonSetName,
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
                deleting = await client.is_being_deleted(which)
                if deleting is False:
                    return False
                pods = await client.unfinished_pods(which.namespace, selector=pod_selector)
                there = [f"DaemonSet {which}"] if deleting else []
                there += [f"pod {pod}" for pod in pods]
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
