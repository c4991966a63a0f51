"""The control listener: shows and changes the simulation over HTTP.

Bodies are JSON, YAML or a plain word, whatever their Content-Type, so that
``curl -X PUT --data unavailable http://127.0.0.1:16981/fault`` works.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import JsonValue

from sidecar.simulator.answers import encode
from sidecar.simulator.conditions import ScenarioError, parse_scenario, parse_yaml
from sidecar.simulator.documents import DOCUMENTS
from sidecar.simulator.faults import FAULTS
from sidecar.simulator.simulation import Simulation


def catalogue() -> dict[str, JsonValue]:
    """Names of documents and faults, each with one line."""
    return {
        "documents": {name: data_set.summary for name, data_set in DOCUMENTS.items()},
        "faults": {
            "none": "no fault",
            **{name: fault.summary for name, fault in FAULTS.items()},
        },
    }


_PATHS: dict[str, JsonValue] = {
    "GET /": "this list",
    "GET /state": "the conditions now",
    "PUT /state": "changes the conditions that the body names, as in a scenario",
    "PUT /scenario": "replaces the scenario and starts it",
    "GET /document": "the document of all callers without one of their own",
    "PUT /document": "replaces it: a name or settings",
    "GET /addresses": "documents of callers by address or network",
    "PUT /addresses": "replaces them all",
    "GET /fault": "the fault, or null",
    "PUT /fault": "replaces it: a name or settings",
    "DELETE /fault": "clears it",
    "GET /counters": "requests by path and caller, replies by status, the last request",
    "DELETE /counters": "resets them",
}


def control_application(simulation: Simulation) -> web.Application:
    """The application of the control listener."""
    control = _Control(simulation)
    application = web.Application(middlewares=[_refuse])
    application.add_routes(
        [
            web.get("/", control.show_all),
            web.get("/state", control.show_state),
            web.put("/state", control.put_state),
            web.put("/scenario", control.put_scenario),
            web.get("/counters", control.show_counters),
            web.delete("/counters", control.delete_counters),
            web.delete("/fault", control.delete_fault),
        ]
    )
    for member in ("document", "fault", "addresses"):
        application.router.add_get(f"/{{member:{member}}}", control.show_member)
        application.router.add_put(f"/{{member:{member}}}", control.put_member)
    return application


@web.middleware
async def _refuse(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer a wrong body with 400 and one line of text."""
    try:
        return await handler(request)
    except ScenarioError as error:
        return _json({"error": str(error)}, status=400)


class _Control:
    """The handlers, bound to one simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def show_all(self, _: web.Request) -> web.Response:
        return _json({"paths": _PATHS, **catalogue()})

    async def show_state(self, _: web.Request) -> web.Response:
        return _json(state(self._simulation))

    async def put_state(self, request: web.Request) -> web.Response:
        changes = parse_yaml(await request.text())
        if not isinstance(changes, dict):
            raise ScenarioError("state: give a mapping of conditions")
        # The body of GET can be put back: the progress of the scenario in it is ignored.
        self._simulation.change({name: value for name, value in changes.items() if name != "scenario"})
        return _json(state(self._simulation))

    async def put_scenario(self, request: web.Request) -> web.Response:
        self._simulation.load(parse_scenario(await request.text()))
        return _json(state(self._simulation))

    async def show_member(self, request: web.Request) -> web.Response:
        return _json(state(self._simulation)[request.match_info["member"]])

    async def put_member(self, request: web.Request) -> web.Response:
        member = request.match_info["member"]
        self._simulation.change({member: parse_yaml(await request.text())})
        return _json(state(self._simulation)[member])

    async def delete_fault(self, _: web.Request) -> web.Response:
        self._simulation.clear_fault()
        return _json(None)

    async def show_counters(self, _: web.Request) -> web.Response:
        return _json(counted(self._simulation))

    async def delete_counters(self, _: web.Request) -> web.Response:
        self._simulation.counters.reset()
        return _json(counted(self._simulation))


def state(simulation: Simulation) -> dict[str, JsonValue]:
    """The conditions as JSON, with the keys of a scenario, and the progress of the scenario.

    Under ``scenario``: seconds since it began, seconds to its next step, requests the fault still strikes.
    """
    conditions = simulation.conditions
    fault = conditions.fault
    return {
        "document": conditions.document.json_object(),
        "fault": fault.json_object() if fault else None,
        "addresses": {network: document.json_object() for network, document in conditions.addresses.items()},
        "addressing": conditions.addressing,
        "rateLimit": conditions.rate_limit,
        "versions": [*conditions.versions],
        "versionError": conditions.version_error,
        "instance": conditions.instance.json_object(),
        "scenario": {
            "elapsed": simulation.elapsed,
            "nextStepIn": simulation.seconds_to_next_step(),
            "strikesLeft": simulation.strikes_left,
        },
    }


def counted(simulation: Simulation) -> dict[str, JsonValue]:
    """The counters as JSON; header names of the last request are in the order they came."""
    counters = simulation.counters
    call = counters.last_request
    return {
        "requests": counters.requests,
        "byStatus": {**counters.by_status},
        "byPath": {**counters.by_path},
        "byCaller": {**counters.by_caller},
        "lastRequest": {
            "method": call.method,
            "path": call.path,
            "caller": call.caller,
            "parameters": [[name, value] for name, value in call.parameters],
            "headers": [[name, value] for name, value in call.headers],
        }
        if call
        else None,
    }


def _json(value: JsonValue, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=encode(value) + b"\n", content_type="application/json")
