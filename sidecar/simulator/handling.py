"""The right answer to a request: header rules, parameters, paths, then the document.

What is refused follows the documents named in ``answers``; in which order the service looks at
things is a guess.
"""

import asyncio
from collections import Counter

from aiohttp import web

from sidecar.simulator import answers, instance
from sidecar.simulator.answers import Reply, encode, error, fill
from sidecar.simulator.conditions import LOADBALANCER_SINCE, Behaviour
from sidecar.simulator.delivery import deliver
from sidecar.simulator.faults import Action
from sidecar.simulator.simulation import LOADBALANCER, Call, InjectedFault, Simulation

INSTANCE = "/metadata/instance"
VERSIONS = "/metadata/versions"

_KNOWN = (LOADBALANCER, INSTANCE, VERSIONS)
"""Paths that there are, and all below them."""


def right_answer(simulation: Simulation, call: Call) -> Reply:
    """What the service answers where no fault strikes."""
    known = any(call.path == path or call.path.startswith(f"{path}/") for path in _KNOWN)
    if call.method == "HEAD" or (call.method == "PUT" and not known):
        # Captured on AKS nodes: HEAD for / and /metadata/... alike, PUT for a path of another cloud. Other
        # verbs than GET are 405 by the page of the load balancer endpoint.
        return answers.xml_error(call.method)
    if call.path != VERSIONS or call.header("X-Forwarded-For") is not None:
        refusal = _refused_headers(call)
        if refusal is not None:
            return refusal
    if not simulation.allowed(call.caller):
        return error(429, answers.TOO_MANY_REQUESTS)
    return _answer_of_path(simulation, call)


def _refused_headers(call: Call) -> Reply | None:
    """The refusal of a request that a proxy or a browser may have sent.

    That such requests are rejected is documented; the answer to X-Forwarded-For is a guess.
    """
    if call.header("X-Forwarded-For") is not None:
        return error(400, "Bad request. X-Forwarded-For header is not allowed")
    if (call.header("Metadata") or "").strip().lower() != "true":
        return Reply(status=400, body=answers.NO_METADATA_HEADER_BODY)
    return None


def _answer_of_path(simulation: Simulation, call: Call) -> Reply:
    if not any(call.path == path or call.path.startswith(f"{path}/") for path in _KNOWN):
        return error(404, "Not found")
    names = {"UrlPath": call.path, "Method": call.method}
    if call.method != "GET":
        return error(405, fill(answers.METHOD_NOT_ALLOWED, **names))
    if call.path == VERSIONS:
        return answers.success({"apiVersions": [*sorted(simulation.conditions.versions)]})
    if call.path.startswith((f"{LOADBALANCER}/", f"{VERSIONS}/")):
        return error(404, fill(answers.API_NOT_FOUND, **names))
    refusal = _refused_parameters(simulation.conditions, call)
    if refusal is not None:
        return refusal
    return _loadbalancer(simulation, call) if call.path == LOADBALANCER else _instance(simulation, call)


def _refused_parameters(conditions: Behaviour, call: Call) -> Reply | None:
    if any(count > 1 for count in Counter(name for name, _ in call.parameters).values()):
        return error(400, answers.UNEXPECTED_REQUEST)
    parameters = dict(call.parameters)
    version = parameters.get("api-version", "")
    since = LOADBALANCER_SINCE if call.path == LOADBALANCER else ""
    if version not in conditions.versions or version < since:
        return _refused_version(conditions, call, version)
    form = parameters.get("format", "json")
    if form not in ("json", "text"):
        message = fill(answers.PARAMETER_NOT_ALLOWED, ParameterValue=form, ParameterName="format")
        return error(400, message)
    return None


def _refused_version(conditions: Behaviour, call: Call, version: str) -> Reply:
    if conditions.version_error == "missing-parameter" and call.path == LOADBALANCER:
        names = {"ParameterName": "api-version", "ParameterValue": version}
        template = answers.PARAMETER_NOT_ALLOWED if version else answers.MISSING_PARAMETER
        return error(400, fill(template, **names))
    newest = sorted(conditions.versions, reverse=True)[:3]
    return Reply(status=400, body=encode({"error": answers.VERSION_REJECTED, "newest-versions": [*newest]}))


def _loadbalancer(simulation: Simulation, call: Call) -> Reply:
    """The document: ``format=text`` changes nothing, as clients that send it and read JSON show."""
    body = simulation.document_body(call.caller)
    return error(404, answers.NO_METADATA) if body is None else Reply(status=200, body=body)


def _instance(simulation: Simulation, call: Call) -> Reply:
    document = instance.instance(
        simulation.conditions.instance, call.caller, simulation.document(call.caller)
    )
    return instance.walk(document, call.path, as_text=("format", "text") in call.parameters)


_CLOSING = web.AppKey("closing", asyncio.Event)


def service_application(simulation: Simulation, *, caller: str | None = None) -> web.Application:
    """Every path and every method of the metadata service.

    ``caller`` is the address that all requests count as coming from; None is each one's own.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        call = _call(request, caller)
        simulation.counters.asked(call)
        injected_fault = simulation.injected_fault(call)
        # Also under a fault, since every request counts against the limit.
        right = right_answer(simulation, call)
        answer = injected_fault.answer if injected_fault and injected_fault.answer else right
        simulation.counters.answered(_status(answer.status, injected_fault))
        return await deliver(request, answer, injected_fault=injected_fault, closing=request.app[_CLOSING])

    application = web.Application()
    application[_CLOSING] = asyncio.Event()
    application.on_shutdown.append(_close)
    application.router.add_route("*", "/{path:.*}", answer)
    return application


async def _close(application: web.Application) -> None:
    application[_CLOSING].set()


def _status(status: int, injected_fault: InjectedFault | None) -> int | str:
    if injected_fault and injected_fault.action in (Action.HANG, Action.RESET):
        return str(injected_fault.action)
    return 200 if injected_fault and injected_fault.action is Action.HUGE else status


def _call(request: web.Request, caller: str | None) -> Call:
    return Call(
        method=request.method,
        path=request.path,
        caller=caller or request.remote or "127.0.0.1",
        headers=tuple(request.headers.items()),
        parameters=tuple(request.query.items()),
    )
