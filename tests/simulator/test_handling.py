"""Which requests the service refuses, and how."""

import aiohttp
import pytest

from sidecar.simulator import Serving
from tests.simulator.client import LOADBALANCER, QUERY, fetch

NEWEST = ["2025-04-07", "2024-07-17", "2024-03-15"]


@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
async def test_metadata_header(serving: Serving, session: aiohttp.ClientSession, value: str) -> None:
    """The Metadata header counts in any case of its value."""
    response = await fetch(session, serving.url + LOADBALANCER, headers={"Metadata": value})

    assert response.status == 200


@pytest.mark.parametrize("headers", [{}, {"Metadata": "false"}, {"Metadata": ""}])
async def test_without_metadata_header(
    serving: Serving, session: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    """Without it the captured body comes, odd spaces included."""
    response = await fetch(session, serving.url + LOADBALANCER, headers=headers)

    assert response.status == 400
    assert response.body == b'{ "error": "Bad request: . Required metadata header not specified" }'


@pytest.mark.parametrize("path", [LOADBALANCER, "/metadata/versions", f"/metadata/instance?{QUERY}"])
async def test_forwarded(serving: Serving, session: aiohttp.ClientSession, path: str) -> None:
    """A request that a proxy passed on is refused."""
    headers = {"Metadata": "true", "X-Forwarded-For": "10.0.0.1"}

    response = await fetch(session, serving.url + path, headers=headers)

    assert response.status == 400
    assert "X-Forwarded-For" in response.error


@pytest.mark.parametrize(
    "query",
    ["", "api-version=", "api-version=2020-10-02", "api-version=2020-09-01", "api-version=2017-03-01"],
)
async def test_version_refused(serving: Serving, session: aiohttp.ClientSession, query: str) -> None:
    """A version that is missing, unknown or older than the endpoint brings the three newest."""
    response = await fetch(session, f"{serving.url}/metadata/loadbalancer?{query}")

    assert response.status == 400
    assert response.value["newest-versions"] == NEWEST


@pytest.mark.parametrize("version", ["2020-10-01", "2021-05-01", "2023-07-01", "2025-04-07"])
async def test_version_accepted(serving: Serving, session: aiohttp.ClientSession, version: str) -> None:
    """Every known version from 2020-10-01 on is accepted."""
    response = await fetch(session, f"{serving.url}/metadata/loadbalancer?api-version={version}")

    assert response.status == 200


async def test_versions_are_settable(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A service that knows other versions refuses with the newest of those."""
    serving.simulator.change({"versions": ["2021-02-01", "2030-01-01"]})

    response = await fetch(session, serving.url + LOADBALANCER)

    assert response.value["newest-versions"] == ["2030-01-01", "2021-02-01"]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", 'Missing required parameter "api-version"'),
        ("api-version=x", 'parameter value "x" is not allowed'),
    ],
)
async def test_version_errors_of_the_endpoint(
    serving: Serving, session: aiohttp.ClientSession, query: str, text: str
) -> None:
    """The endpoint's own documented texts can be asked for."""
    serving.simulator.change({"versionError": "missing-parameter"})

    response = await fetch(session, f"{serving.url}/metadata/loadbalancer?{query}")

    assert response.status == 400
    assert text in response.error


@pytest.mark.parametrize("query", [f"{QUERY}&{QUERY}", f"{QUERY}&format=json&format=json"])
async def test_repeated_parameter(serving: Serving, session: aiohttp.ClientSession, query: str) -> None:
    """A parameter given twice is refused."""
    response = await fetch(session, f"{serving.url}/metadata/loadbalancer?{query}")

    assert response.status == 400
    assert response.error.startswith("Unexpected request")


@pytest.mark.parametrize("form", ["json", "text"])
async def test_format(serving: Serving, session: aiohttp.ClientSession, form: str) -> None:
    """Both formats bring the same JSON."""
    response = await fetch(session, f"{serving.url}{LOADBALANCER}&format={form}")

    assert response.headers["Content-Type"].startswith("application/json")
    assert response.value["loadbalancer"]["outboundRules"]


async def test_other_format(serving: Serving, session: aiohttp.ClientSession) -> None:
    """Another format is refused by name and value."""
    response = await fetch(session, f"{serving.url}{LOADBALANCER}&format=xml")

    assert response.status == 400
    assert 'parameter value "xml" is not allowed for parameter "format"' in response.error


async def test_sub_path(serving: Serving, session: aiohttp.ClientSession) -> None:
    """The endpoint has no fields of its own."""
    response = await fetch(session, f"{serving.url}/metadata/loadbalancer/publicIpAddresses/0?{QUERY}")

    assert response.status == 404
    assert response.error == (
        'API is not found: Path = "/metadata/loadbalancer/publicIpAddresses/0", Method = "GET"'
    )


async def test_unknown_path(serving: Serving, session: aiohttp.ClientSession) -> None:
    """An unknown category is a 404 of the service."""
    response = await fetch(session, f"{serving.url}/metadata/nothing?{QUERY}")

    assert (response.status, response.error) == (404, "Not found")


async def test_put_elsewhere(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A PUT to another cloud's path gets the front end's words, byte for byte as they were captured."""
    response = await fetch(session, f"{serving.url}/latest/api/token", method="PUT")

    assert (response.status, response.headers["Server"]) == (400, "Microsoft-IIS/10.0")
    assert len(response.body) == 322
    lines = response.body.decode().split("\n")
    assert lines[0] == '<?xml version="1.0" encoding="utf-8"?>'
    assert lines[2:] == [
        "    <Code>InvalidHttpVerb</Code>",
        "    <Message>The HTTP verb specified was not recognized by the server.</Message>",
        "    <Details>'PUT' is not a supported verb.</Details>",
        "</Error>",
    ]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods(serving: Serving, session: aiohttp.ClientSession, method: str) -> None:
    """Only GET is allowed."""
    response = await fetch(session, serving.url + LOADBALANCER, method=method)

    assert response.status == 405
    assert (
        response.error == f'Http method is not allowed: Path = "/metadata/loadbalancer", Method = "{method}"'
    )


@pytest.mark.parametrize("path", ["/", LOADBALANCER, f"/metadata/instance?{QUERY}"])
async def test_head(serving: Serving, session: aiohttp.ClientSession, path: str) -> None:
    """HEAD is refused by another server, in XML of the captured length."""
    response = await fetch(session, serving.url + path, method="HEAD", headers={})

    assert response.status == 400
    assert response.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert response.headers["Server"] == "Microsoft-IIS/10.0"
    assert response.headers["Content-Length"] == "323"


@pytest.mark.parametrize("headers", [{}, {"Metadata": "true"}])
async def test_versions(serving: Serving, session: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    """The list of versions needs neither header nor version and begins with the oldest."""
    response = await fetch(session, f"{serving.url}/metadata/versions", headers=headers)

    versions = response.value["apiVersions"]
    assert versions[0] == "2017-03-01"
    assert versions == sorted(versions)
    assert "2020-10-01" in versions
