"""The path that stands in for the metadata service."""

from urllib.parse import unquote

import pytest

from tests.api.support import api_running
from tests.support import states

DATA = states.snapshot_after(
    states.answer(states.body(public=[states.pair("[2603:1020::34]", "[fd00::10]"), states.pair("20.1.2.3")]))
)
WRONG_VALUE = (
    'Parameter value is not allowed, or parameter value "{value}" is not allowed for parameter "{name}". '
    "Please fix the request and retry."
)
PATH = "/metadata/loadbalancer"
ASKED = f"{PATH}?api-version=2020-10-01"


@pytest.mark.parametrize(
    "query",
    [
        "api-version=2020-10-01",
        "api-version=2021-05-01&format=json",
        "api-version=2023-07-01&format=text",
        "api-version=2025-04-07",
        "api-version=2025-07-24",
        "api-version=2026-12-31",
        "api-version=2099-01-01",
    ],
)
@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
async def test_document(query: str, value: str) -> None:
    """The document comes under the outer key, always as JSON, for every version that has it."""
    async with api_running(DATA) as api:
        reply = await api.get(f"{PATH}?{query}", Metadata=value, Accept="text/plain")

    document = DATA.state.document
    assert document is not None
    assert (reply.status, reply.body) == (200, b'{"loadbalancer":' + document.canonical + b"}")
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("headers", [{}, {"Metadata": "false"}, {"Metadata": ""}, {"Metadata": "1"}])
async def test_metadata_header(headers: dict[str, str]) -> None:
    """Without the header Metadata: true the answer is the metadata service's 400."""
    async with api_running(DATA) as api:
        await api.metadata(ASKED)
        reply = await api.get(ASKED, **headers)

    assert reply.status == 400
    assert reply.json == {"error": "Bad request: . Required metadata header not specified"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", 'Missing required parameter "api-version". Please fix the request and retry.'),
        ("format=json", 'Missing required parameter "api-version". Please fix the request and retry.'),
        *(
            (
                f"api-version={version}",
                WRONG_VALUE.format(value=unquote(version), name="api-version"),
            )
            for version in (
                *("2020-09-01", "2019-06-01", "latest", "", "2023-7-1", "2023-02-30", "20230701"),
                *("2023-07-01-preview", "2023-07-01%20", "%D9%A2023-07-01", "99999-01-01"),
            )
        ),
    ],
)
async def test_versions(query: str, message: str) -> None:
    """A missing or wrong version is a 400 that names the newest versions."""
    async with api_running(DATA) as api:
        reply = await api.metadata(f"{PATH}?{query}")

    assert reply.status == 400
    assert reply.json == {"error": message, "newest-versions": ["2025-04-07", "2024-07-17", "2024-03-15"]}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("&api-version=2020-10-01", "Unexpected request. Please check the query parameters and retry."),
        ("&family=ipv4", "Unexpected request. Please check the query parameters and retry."),
        (
            "&format=xml",
            WRONG_VALUE.format(value="xml", name="format"),
        ),
    ],
)
async def test_other_parameters(query: str, message: str) -> None:
    """Repeated, unknown and wrong parameters are 400s in the metadata service's words."""
    async with api_running(DATA) as api:
        reply = await api.metadata(ASKED + query)

    assert (reply.status, reply.json) == (400, {"error": message})


async def test_slash_at_the_end() -> None:
    """A slash at the end of the path is the same question, and has the same answer."""
    async with api_running(DATA) as api:
        replies = [await api.metadata(ASKED.replace("?", f"{end}?")) for end in ("", "/")]

    assert replies[0].status == replies[1].status == 200
    assert replies[0].body == replies[1].body


@pytest.mark.parametrize(
    "path", ["/metadata", "/metadata/", f"{PATH}//", f"{PATH}/publicIpAddresses/0", "/metadata/instance"]
)
async def test_other_paths(path: str) -> None:
    """Nothing else of the metadata service is here, below the document neither."""
    async with api_running(DATA) as api:
        reply = await api.metadata(f"{path}?api-version=2020-10-01")

    assert reply.status == 404
    assert reply.json == {"error": f'API is not found: Path = "{path}", Method = "GET"'}


async def test_methods() -> None:
    """Other verbs are refused in the metadata service's words."""
    async with api_running(DATA) as api:
        reply = await api.get(ASKED, method="POST", Metadata="true")

    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")
    assert reply.json == {"error": f'Http method is not allowed: Path = "{PATH}", Method = "POST"'}


async def test_forwarded_requests() -> None:
    """Forwarded requests are a 400 here."""
    async with api_running(DATA) as api:
        reply = await api.metadata(ASKED, X_Forwarded_For="10.0.0.1")

    assert (reply.status, list(reply.json)) == (400, ["error"])
    assert "port-forward" in reply.json["error"]


async def test_before_data() -> None:
    """Before the first answer the metadata service is "unavailable"."""
    async with api_running(states.snapshot_after(states.unreachable())) as api:
        reply = await api.metadata(ASKED)

    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
    assert reply.json == {"error": "Internal service unavailable. Please retry later"}


async def test_no_metadata() -> None:
    """Where there is none, the answer is the metadata service's own 404."""
    async with api_running(states.none_accepted()) as api:
        reply = await api.metadata(ASKED)

    assert reply.status == 404
    assert reply.json == {
        "error": "No load balancer metadata is found. Please check if your VM is using any non-basic SKU "
        "load balancer and retry later."
    }
