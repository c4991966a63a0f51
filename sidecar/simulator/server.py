"""A simulator on real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from sidecar.simulator.control import control_application
from sidecar.simulator.delivery import service_application
from sidecar.simulator.simulation import Simulation

_SHUTDOWN_SECONDS = 1.0
_KEEPALIVE_SECONDS = 75.0


class Simulator(Simulation):
    """The simulation with its two applications, for servers of the caller's own; see ``serve``."""

    def application(self, *, caller: str | None = None) -> web.Application:
        """The metadata service; each call makes a new application over the same simulation.

        Args:
            caller: The address that all requests to this application count as coming from, which
                gives it a document, addresses and a request budget of its own. None is each
                request's real one.
        """
        return service_application(self, caller=caller)

    def control_application(self) -> web.Application:
        """The control listener."""
        return control_application(self)


class Serving:
    """A running simulator.

    ``url`` and ``control_url`` are base URLs without a slash at the end, such as
    ``http://127.0.0.1:16980``.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.url = ""
        self.control_url = ""
        self._runners: list[web.AppRunner] = []

    async def listen(self, host: str = "127.0.0.1", port: int = 0, *, caller: str | None = None) -> str:
        """Start one more listener of the metadata service, and return its base URL.

        Args:
            host: The address to listen on.
            port: The port; 0 is any free one.
            caller: As for ``Simulator.application``: a node of its own for each listener.

        Raises:
            OSError: The address or port cannot be bound.
        """
        return await self._start(self.simulator.application(caller=caller), host, port=port)

    async def listen_for_control(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Start one more control listener, and return its base URL.

        Raises:
            OSError: The address or port cannot be bound.
        """
        return await self._start(self.simulator.control_application(), host, port=port)

    async def _start(self, application: web.Application, host: str, *, port: int) -> str:
        runner = web.AppRunner(
            application,
            handle_signals=False,
            # A hanging request ends when its client disconnects.
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            keepalive_timeout=_KEEPALIVE_SECONDS,
        )
        self._runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0]
        return f"http://[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"http://{bound[0]}:{bound[1]}"

    async def close(self) -> None:
        """Close all listeners; hanging requests are cut off."""
        while self._runners:
            await self._runners.pop().cleanup()


@asynccontextmanager
async def serve(
    simulator: Simulator,
    host: str = "127.0.0.1",
    *,
    port: int = 0,
    control_host: str = "127.0.0.1",
    control_port: int = 0,
) -> AsyncIterator[Serving]:
    """Serve a simulator until the block ends.

    Args:
        simulator: What to serve.
        host: Address of the metadata service.
        port: Its port; 0 is any free one.
        control_host: Address of the control listener.
        control_port: Its port; 0 is any free one.

    Raises:
        OSError: An address or port cannot be bound.
    """
    serving = Serving(simulator)
    steps = asyncio.create_task(_follow(simulator), name="simulator steps")
    try:
        serving.url = await serving.listen(host, port)
        serving.control_url = await serving.listen_for_control(control_host, control_port)
        yield serving
    finally:
        steps.cancel()
        await asyncio.wait([steps])
        await serving.close()
        if not steps.cancelled():
            steps.result()


async def _follow(simulator: Simulator) -> None:
    """Take the steps of the scenario in time for the log; requests take them in any case."""
    while True:
        simulator.begun.clear()
        remaining = simulator.seconds_to_next_step()
        with suppress(TimeoutError):
            # At least 10 ms: a test's clock may stand still, and this would be a busy loop.
            async with asyncio.timeout(None if remaining is None else max(0.01, remaining)):
                await simulator.begun.wait()
