"""Static egress gateways: when there are none, what is refused, and what is taken of each."""

import json
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sidecar.core.cluster import StaticGateway
from sidecar.kube import ForbiddenError, MalformedBodyError, ServerError
from sidecar.kube.access import LoadingRules
from sidecar.kube.listing import FleetClient
from sidecar.kube.requests import requester
from sidecar.kube.wire import WireStaticGateway, page_of
from tests.support.fake_apiserver import status_object
from tests.support.web_server import web_server

GROUP = "/apis/egressgateway.kubernetes.azure.com"
LIST = f"{GROUP}/v1alpha1/staticgatewayconfigurations"
ONE = {"metadata": {"namespace": "a", "name": "one"}, "status": {"egressIpPrefix": "203.0.113.4/31"}}

Listed = Callable[[Mapping[str, web.Response]], Awaitable[list[StaticGateway]]]


def page(*items: Any, following: str = "") -> web.Response:
    """A page of the list."""
    return web.json_response({"metadata": {"continue": following}, "items": list(items)})


def refused(status: int) -> web.Response:
    """A refusal in the API server's words."""
    return web.json_response(status_object(status, "no"), status=status)


def found() -> web.Response:
    """The group, which is there."""
    return web.json_response({"kind": "APIGroup", "versions": []})


@pytest.fixture
def listed(tmp_path: Path) -> Listed:
    """What the client lists where paths are answered so; of each path, and of the next page of it."""

    async def run(answers: Mapping[str, web.Response]) -> list[StaticGateway]:
        async def answer(request: web.Request) -> web.Response:
            given = answers[request.path + request.query.get("continue", "")]
            kind = {"Content-Type": given.headers["Content-Type"]}
            return web.Response(status=given.status, body=given.body, headers=kind)

        async with web_server(web.get("/{path:.*}", answer)) as url:
            config = tmp_path / "kubeconfig"
            cluster = {"name": "c", "cluster": {"server": url}}
            context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
            value = {"clusters": [cluster], "users": [{"name": "u", "user": {"token": "t"}}]}
            config.write_text(json.dumps({**value, "contexts": [context], "current-context": "x"}))
            rules = LoadingRules(kubeconfig=str(config))
            async with requester(rules, metrics=None, timeout=5) as requests:
                return await FleetClient(requests, fraction=lambda: 0.0).static_gateways()

    return run


@pytest.mark.parametrize("absent", [refused(404), web.Response(status=404, text="404 page not found\n")])
async def test_no_group(listed: Listed, absent: web.Response) -> None:
    """Where the API server has no such group there are none, in whichever form it says so."""
    assert await listed({GROUP: absent}) == []


async def test_no_resource(listed: Listed) -> None:
    """The same of a group without the resource."""
    assert await listed({GROUP: found(), LIST: refused(404)}) == []


async def test_pages(listed: Listed) -> None:
    """All pages are read; who may not ask for the group may still list."""
    two = {"metadata": {"namespace": "b", "name": "two"}}
    answers = {GROUP: refused(403), LIST: page(ONE, following="next"), f"{LIST}next": page(two)}
    assert await listed(answers) == [
        StaticGateway(namespace="a", name="one", networks=(ip_network("203.0.113.4/31"),)),
        StaticGateway(namespace="b", name="two"),
    ]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused(403), ForbiddenError),
        (refused(500), ServerError),
        (web.Response(text="<html>"), MalformedBodyError),
        (page({"metadata": {"namespace": "a\u001b[2J", "name": "one"}}), MalformedBodyError),
        (page({"metadata": {"namespace": "a", "name": "../one"}}), MalformedBodyError),
        (page(ONE, following=""), None),
    ],
)
async def test_refusals(listed: Listed, answer: web.Response, error: type[Exception] | None) -> None:
    """What is no list of gateways is an error, and never none."""
    if error is None:
        assert len(await listed({GROUP: found(), LIST: answer})) == 1
        return
    with pytest.raises(error):
        await listed({GROUP: found(), LIST: answer})


@pytest.mark.parametrize(
    ("status", "networks", "unreadable"),
    [
        (None, [], False),
        ({}, [], False),
        ({"egressIpPrefix": None}, [], False),
        ({"egressIpPrefix": ""}, [], False),
        ({"egressIpPrefix": "203.0.113.4/31"}, ["203.0.113.4/31"], False),
        ({"egressIpPrefix": "10.9.0.5, 10.9.0.4"}, ["10.9.0.4/32", "10.9.0.5/32"], False),
        ({"egressIpPrefix": "2603:1::/124"}, ["2603:1::/124"], False),
        ({"egressIpPrefix": "203.0.113.5/31"}, [], True),
        ({"egressIpPrefix": "0.0.0.0/0"}, [], True),
        ({"egressIpPrefix": "127.0.0.1"}, [], True),
        ({"egressIpPrefix": "203.0.113.4/31,"}, [], True),
        ({"egressIpPrefix": "203.0.113.4/31," * 1000}, [], True),
        ({"egressIpPrefix": 7}, [], True),
        ({"egressIpPrefix": ["203.0.113.4/31"]}, [], True),
    ],
)
def test_prefix(status: object, networks: list[str], *, unreadable: bool) -> None:
    """Of a status the networks are taken, several joined by commas; what is none is told from nothing."""
    item = {"metadata": {"namespace": "a", "name": "one"}, "status": status}
    body = json.dumps({"metadata": {}, "items": [item]}).encode()
    (taken,) = page_of(WireStaticGateway, WireStaticGateway.convert)(body).items
    assert (list(map(str, taken.networks)), taken.unreadable) == (networks, unreadable)
    assert str(taken) == "a/one"
