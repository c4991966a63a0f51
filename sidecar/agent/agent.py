"""The composition root: builds the parts, owns their tasks, and ends them in stages."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sidecar
from sidecar.agent.poller import Poller
from sidecar.agent.publish_file import FilePublisher
from sidecar.agent.publish_loop import Publisher, PublishLoop
from sidecar.api.admin import AdminApplication
from sidecar.api.application import Application, Configuration
from sidecar.api.connections import Limits
from sidecar.api.sockets import BoundAddress, bind, serving
from sidecar.core.addresses import PRIVATE_NETWORKS
from sidecar.core.annotations import Layout
from sidecar.core.egress import Observation, RoundPolicy
from sidecar.core.events import EventPolicy
from sidecar.core.listen import ListenAddress
from sidecar.core.state import Policy, Snapshot, State
from sidecar.core.upstream import longest_wait
from sidecar.core.writes import Schedule
from sidecar.errors import EmptyError, Error, NoDataError
from sidecar.latest import Watch
from sidecar.logs import log, power_of_two
from sidecar.runtime import Runtime
from sidecar.settings import Settings
from sidecar.sources.imds import IMDSSource
from sidecar.sources.upstream import UpstreamSource
from sidecar.stopping import Shutdown, cancelled

if TYPE_CHECKING:
    from sidecar.agent.egress_observer import EgressObserver

_logger = logging.getLogger(__name__)

_ADMIN_CLIENTS = 128
"""Many more than probes and scrapes need; beyond, the connection that is idle longest is closed."""

DRAIN_SECONDS = 3.0
"""How long the HTTP API goes on answering after a request to stop, while its endpoint is taken away.

After that requests under way have the time of :class:`sidecar.api.connections.Limits`.
"""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where an agent listens."""

    api: tuple[BoundAddress, ...]
    admin: tuple[BoundAddress, ...]


class Agent:
    """One agent; create it inside the event loop that runs it."""

    def __init__(self, settings: Settings, *, runtime: Runtime | None = None) -> None:
        self._settings = settings
        self._runtime = runtime or Runtime()
        self._policy = Policy(stale_after=settings.stale_after, absent_after=settings.absent_after)
        now = self._runtime.clock()
        state = State(
            started=now, declared=settings.egress_declared, observation=Observation(settings.egress_probe)
        )
        self.latest = Watch(Snapshot.of(state, now, self._policy))
        self._runtime.metrics.watch(self.latest, self._runtime.clock, addresses=settings.metrics_addresses)
        self.stopping = Shutdown()
        self._files: list[PublishLoop] = []
        self._application = Application(
            Configuration(
                latest=self.latest,
                clock=self._runtime.clock,
                metrics=self._runtime.metrics,
                node_name=settings.node_name,
                node_address=settings.node_address,
                allow_forwarded=settings.allow_forwarded,
                # Some connections stay free for those who do not wait.
                max_waiting=max(1, settings.max_clients - max(1, settings.max_clients // 64)),
            )
        )

    async def run(self, *, on_listening: Callable[[Listening], None] | None = None) -> None:
        """Work until shutdown is requested.

        Args:
            on_listening: Given the bound addresses once connections are accepted.

        Raises:
            ListenError: a port is taken.
            UsageError: there is no usable kubeconfig.
        """
        settings, runtime = self._settings, self._runtime
        api = serving(
            self._application,
            self._bind(settings.listen, setting="--listen"),
            limits=Limits(
                max_clients=settings.max_clients,
                allow_from=settings.allow_from,
                max_header_size=settings.max_header_size,
                idle_timeout=settings.idle_timeout,
            ),
            metrics=runtime.metrics,
            at_once=self.stopping.at_once,
        )
        # Where the API is closed to the internet, so is this; but kubelet's probes always get through.
        admin_networks = (*settings.allow_from, *PRIVATE_NETWORKS) if settings.allow_from else ()
        async with AsyncExitStack() as stack:
            bound_api = await stack.enter_async_context(api)
            admin = serving(
                AdminApplication(
                    runtime.metrics,
                    overdue=runtime.liveness.overdue,
                    unready=self._unready,
                    attempts=lambda: self.latest.value.state.attempts,
                ),
                self._bind(settings.admin_listen, setting="--admin-listen"),
                limits=Limits(allow_from=admin_networks, max_clients=_ADMIN_CLIENTS, newcomers_first=True),
                at_once=self.stopping.at_once,
            )
            listening = Listening(api=bound_api, admin=await stack.enter_async_context(admin))
            # However it ends: no client is left waiting when the listeners close.
            stack.callback(self._application.stop)
            poller = await self._poller(stack)
            log(
                _logger,
                logging.INFO,
                "started",
                version=sidecar.__version__,
                listen=_printed(listening.api),
                admin_listen=_printed(listening.admin),
            )
            if on_listening is not None:
                on_listening(listening)
            await self._work(poller)
        log(_logger, logging.INFO, "stopped")

    async def _work(self, poller: Poller) -> None:
        """Run the loops until shutdown is requested; one that fails ends all."""
        publishers = self._file_publishers(poller)
        self._files = [self._loop(publisher) for publisher in publishers]
        loops = [poller.run(), poller.watch_staleness(), *(file.run() for file in self._files)]
        if self._settings.annotations:
            loops.append(self._drive_cluster_publishers(poller))
        if self._settings.egress_probe:
            loops.append(self._egress_observer().run())
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(loop) for loop in loops]
                await self.stopping.requested.wait()
                log(_logger, logging.INFO, "stopping")
                # Waiting clients are answered now and reconnect elsewhere; others are served to the end.
                self._application.stop()
                with suppress(TimeoutError):
                    async with asyncio.timeout(DRAIN_SECONDS):
                        await self.stopping.at_once.wait()
                await cancelled(running)
        except ExceptionGroup as group:
            # Not `except*`, which before Python 3.11.4 puts what is raised into a group again.
            errors, others = group.split(Error)
            if errors is None or others is not None:
                raise
            raise _first(errors) from group

    async def _drive_cluster_publishers(self, poller: Poller) -> None:
        async with self._cluster_publishers(poller, once=False) as publishers, asyncio.TaskGroup() as tasks:
            for publisher in publishers:
                tasks.create_task(self._loop(publisher).run())

    async def run_once(self) -> None:
        """Make one request, publish the answer, and end.

        What waits to be published does so for two splays at most: one to leave an earlier prefix, one to
        write.

        Raises:
            Error: there was no usable answer, or it could not be published.
        """
        async with AsyncExitStack() as stack:
            poller = await self._poller(stack)
            publishers = self._file_publishers(poller)
            if self._settings.annotations:
                # One turn has nothing to compare with: no Event.
                node, *_ = await stack.enter_async_context(self._cluster_publishers(poller, once=True))
                publishers.append(node)
            await poller.turn()
            failure = self.latest.value.state.failure
            if failure is not None:
                raise NoDataError(f"no data, {failure.reason}", advice=failure.detail)
            if self.latest.value.state.document is None:
                raise EmptyError("the metadata service has no load balancer metadata for this machine")
            if self._settings.egress_probe:
                await self._egress_observer().round()
            for publisher in publishers:
                loop = self._loop(publisher)
                turn = await loop.turn(self.latest.value)
                while not (turn.wrote or turn.in_sync) and turn.next_at is not None:
                    await asyncio.sleep(max(0.0, turn.next_at - self._runtime.clock().mono))
                    turn = await loop.turn(self.latest.value)

    def _bind(self, address: ListenAddress | None, *, setting: str) -> list[socket.socket]:
        if address is None:
            return []
        return bind(address.at(self._settings.node_address), setting=setting)

    def _unready(self) -> str:
        """Why the agent is not ready; empty once there are data, also in the file."""
        if self.stopping.requested.is_set():
            return "stopping"
        if self.latest.value.state.document is None:
            return "no answer of the metadata service yet"
        return "" if all(file.published for file in self._files) else "the file is not written yet"

    async def _poller(self, stack: AsyncExitStack) -> Poller:
        """A poller of the source that the settings name; the stack closes its connection."""
        settings = self._settings
        source: IMDSSource | UpstreamSource
        if settings.upstream == "imds":
            source = IMDSSource(
                endpoint=settings.imds_endpoint,
                api_version=settings.imds_api_version,
                timeout=settings.imds_timeout,
                clock=self._runtime.clock,
            )
        else:
            source = UpstreamSource(
                url=settings.upstream,
                node_name=settings.node_name,
                wait=longest_wait(settings.stale_after),
                timeout=settings.imds_timeout,
                clock=self._runtime.clock,
            )
        return Poller(
            await stack.enter_async_context(source),
            self.latest,
            policy=self._policy,
            poll_interval=settings.poll_interval,
            runtime=self._runtime,
        )

    def _loop(self, publisher: Publisher) -> PublishLoop:
        return PublishLoop(publisher, self.latest, runtime=self._runtime)

    def _egress_observer(self) -> "EgressObserver":
        # Late: an agent without probes never loads what asks them.
        from sidecar.agent.egress_observer import EgressObserver  # noqa: PLC0415
        from sidecar.sources.probing import Prober  # noqa: PLC0415

        settings = self._settings
        return EgressObserver(
            Prober(ca=settings.egress_probe_ca),
            self.latest,
            round_policy=RoundPolicy(
                interval=settings.egress_probe_interval,
                flows=settings.egress_probe_flows,
                keep=settings.egress_probe_keep,
            ),
            policy=self._policy,
            runtime=self._runtime,
        )

    def _file_publishers(self, poller: Poller) -> list[Publisher]:
        """The file publisher, if there is to be one; its first turn restores what an earlier run wrote."""
        settings = self._settings
        if settings.file is None:
            return []
        return [
            FilePublisher(
                path=settings.file,
                node=settings.node_name,
                node_address=settings.node_address,
                stale_after=settings.stale_after,
                clock=self._runtime.clock,
                on_found=poller.restore,
            )
        ]

    @asynccontextmanager
    async def _cluster_publishers(self, poller: Poller, *, once: bool) -> AsyncIterator[list[Publisher]]:
        """Connect to the API server; a service account or kubeconfig that cannot be read is tried again.

        The first publisher annotates the Node; its first turn restores what it finds there.

        Args:
            poller: Restores what was found.
            once: Whether to give up where service account or kubeconfig cannot be read just now.

        Raises:
            UsageError: there is no usable kubeconfig.
            Error: ``once``, and the service account or the kubeconfig cannot be read just now.
        """
        # Late: an agent without annotations never loads the client of the API server.
        from sidecar.agent.publish_events import EventPublisher  # noqa: PLC0415
        from sidecar.agent.publish_node import NodePublisher  # noqa: PLC0415
        from sidecar.kube import UnreadConfigError, connect  # noqa: PLC0415

        settings, runtime = self._settings, self._runtime
        kubeconfig = None if settings.kubeconfig is None else str(settings.kubeconfig)
        schedule = Schedule(
            layout=Layout(
                prefix=settings.annotation_prefix,
                previous_prefixes=settings.previous_annotation_prefixes,
                budget=settings.annotation_budget,
                annotate=settings.annotate,
                node_address=settings.node_address,
            ),
            policy=self._policy,
            write_splay=settings.write_splay,
            resync_interval=settings.resync_interval,
            heartbeat_interval=settings.heartbeat_interval,
            staleness_jitter=runtime.random(),
        )
        async with AsyncExitStack() as stack:
            nodes, failures = None, 0
            while nodes is None:
                try:
                    nodes = await stack.enter_async_context(
                        connect(metrics=runtime.metrics, kubeconfig=kubeconfig, context=settings.context)
                    )
                except UnreadConfigError as error:
                    if once:
                        raise Error(error.args[0], advice=error.advice) from error
                    failures += 1
                    if power_of_two(failures):
                        log(
                            _logger,
                            logging.WARNING,
                            "publish-failed",
                            publisher="node",
                            failures=failures,
                            error=error,
                        )
                    await asyncio.sleep(runtime.random() * settings.write_splay)
            node = settings.node_name or ""
            publishers: list[Publisher] = [
                NodePublisher(nodes, node, schedule=schedule, on_found=poller.restore, runtime=runtime)
            ]
            if settings.events:
                policy = EventPolicy(splay=settings.write_splay, fault_after=settings.events_fault_after)
                publishers.append(EventPublisher(nodes.events(), node, event_policy=policy, runtime=runtime))
            yield publishers


def _printed(addresses: Sequence[BoundAddress]) -> str:
    """Addresses as settings write them, ``none`` if there is none."""
    words = []
    for address in addresses:
        if isinstance(address, str):
            words.append(f"unix:{address}")
        else:
            host, port = address
            words.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return ",".join(words) or "none"


def _first(group: BaseExceptionGroup[Error]) -> Error:
    """The first error of a group, however nested."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
