"""The simulated metadata service as an aiohttp application."""

import asyncio

from aiohttp import web

from sidecar.simulator.counters import Call
from sidecar.simulator.delivery import deliver
from sidecar.simulator.faults import Action
from sidecar.simulator.judgement import right_answer
from sidecar.simulator.simulation import Simulation
from sidecar.simulator.strikes import Strike

_CLOSING = web.AppKey("closing", asyncio.Event)


def service_application(simulation: Simulation, *, caller: str | None = None) -> web.Application:
    """Every path and every method of the metadata service.

    ``caller`` is the address that all requests count as coming from; None is each one's own.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        call = _call(request, caller)
        simulation.counters.asked(call)
        strike = simulation.strike(call)
        # Also under a fault, since every request counts against the limit.
        right = right_answer(simulation, call)
        answer = strike.answer if strike and strike.answer else right
        simulation.counters.answered(_status(answer.status, strike))
        return await deliver(request, answer, strike=strike, closing=request.app[_CLOSING])

    application = web.Application()
    application[_CLOSING] = asyncio.Event()
    application.on_shutdown.append(_close)
    application.router.add_route("*", "/{path:.*}", answer)
    return application


async def _close(application: web.Application) -> None:
    application[_CLOSING].set()


def _status(status: int, strike: Strike | None) -> int | str:
    if strike and strike.action in (Action.HANG, Action.RESET):
        return str(strike.action)
    return 200 if strike and strike.action is Action.HUGE else status


def _call(request: web.Request, caller: str | None) -> Call:
    return Call(
        method=request.method,
        path=request.path,
        caller=caller or request.remote or "127.0.0.1",
        headers=tuple(request.headers.items()),
        parameters=tuple(request.query.items()),
    )
