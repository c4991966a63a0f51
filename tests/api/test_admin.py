"""The admin listener."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from unittest.mock import Mock

import pytest
from prometheus_client import exposition
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from sidecar.api.admin import AdminApplication
from sidecar.api.sockets import serving
from sidecar.core.outcome import Attempt, FailureKind
from sidecar.metrics import Metrics
from tests.api.support import connected, ended, served, socket_on

of_each_path = pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/attempts"])


def admin(
    *, overdue: list[str] | None = None, unready: str = "", attempts: Sequence[Attempt] = ()
) -> AdminApplication:
    """An admin application in a given condition."""
    return AdminApplication(
        Metrics(), overdue=lambda: overdue or [], unready=lambda: unready, attempts=lambda: attempts
    )


@pytest.mark.parametrize(
    ("overdue", "status", "text"),
    [
        ([], 200, "ok\n"),
        (["poll"], 503, "overdue: poll\n"),
        (["publish", "poll"], 503, "overdue: poll, publish\n"),
    ],
)
async def test_livez(overdue: list[str], status: int, text: str) -> None:
    """The process is alive while no loop is overdue, and else says which one is."""
    async with served(admin(overdue=overdue, unready="stopping")) as get:
        reply = await get("/livez")

    assert (reply.status, reply.text) == (status, text)


@pytest.mark.parametrize(("unready", "status", "text"), [("", 200, "ok\n"), ("a cause", 503, "a cause\n")])
async def test_readyz(unready: str, status: int, text: str) -> None:
    """The process is ready while nothing speaks against it, whatever its loops do, and else says what."""
    async with served(admin(overdue=["poll"], unready=unready)) as get:
        reply = await get("/readyz")

    assert (reply.status, reply.text) == (status, text)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=x.y", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.3",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        (
            "application/openmetrics-text;version=x.y",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
async def test_metrics(accept: str, content_type: str) -> None:
    """Metrics come in the text format, or as OpenMetrics where Accept names it."""
    async with served(admin()) as get:
        reply = await get("/metrics", Accept=accept)

    assert reply.status == 200
    assert reply.headers["Content-Type"] == content_type
    assert b"azure_lb_metadata_build" in reply.body
    assert reply.body.endswith(b"# EOF\n") is ("openmetrics" in content_type)


async def test_both_formats_say_the_same() -> None:
    """Parsers of both formats, the strict one of OpenMetrics among them, read the same samples."""
    async with served(admin()) as get:
        texts = [
            (await get("/metrics", Accept=accept)).text for accept in ("", "application/openmetrics-text")
        ]

    # The function alone has no annotations.
    strict = openmetrics.text_string_to_metric_families(texts[1])  # type: ignore[no-untyped-call]
    families = (text_string_to_metric_families(texts[0]), strict)
    plain, open_metrics = (
        {(sample.name, *sample.labels.items()) for family in each for sample in family.samples}
        for each in families
    )
    assert plain == open_metrics
    assert len(plain) > 50


async def test_crowd_of_scrapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics are printed once for all who ask at the same time: a crowd must not keep a probe waiting."""
    printing = Mock(wraps=exposition.generate_latest)
    monkeypatch.setattr(exposition, "generate_latest", printing)
    scrape = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    async with (
        serving(admin(), socket_on("127.0.0.1:0")) as addresses,
        AsyncExitStack() as stack,
    ):
        address = ("127.0.0.1", int(addresses[0][1]))
        crowd = [await stack.enter_async_context(connected(address)) for _ in range(100)]
        for _, writer in crowd:
            writer.write(scrape * 20)
            writer.write_eof()
        said = await asyncio.gather(*(ended(connection) for connection in crowd))

    assert sum(each.count(b"HTTP/1.1 200 ") for each in said) == 2000
    assert printing.call_count <= 200


async def test_scrape_after_another() -> None:
    """What has happened before somebody asks is in the answer, also right after the last one."""
    metrics = Metrics()
    application = AdminApplication(metrics, overdue=list, unready=str, attempts=list)
    async with served(application) as get:
        for count in range(1, 5):
            metrics.dropped_log_lines.inc()
            assert f"azure_lb_metadata_log_dropped_lines_total {count}.0" in (await get("/metrics")).text


async def test_attempts() -> None:
    """The last attempts come newest first, with what became of each, and no cache keeps them."""
    at = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    attempts = [Attempt(at, "ok"), Attempt(at.replace(minute=5), "throttled", "HTTP 429: Too many requests")]
    async with served(admin(attempts=attempts)) as get:
        reply = await get("/attempts")

    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.json == [
        {"at": "2026-01-02T03:05:05Z", "outcome": "throttled", "detail": "HTTP 429: Too many requests"},
        {"at": "2026-01-02T03:04:05Z", "outcome": "ok", "detail": ""},
    ]


async def test_failed_attempts() -> None:
    """A failed attempt has its HTTP status, or how the request ended that brought none."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    attempts = [
        Attempt(at, "unreachable", "cannot connect", kind=FailureKind.REFUSED),
        Attempt(at, "not-ready", "HTTP 410: Gone", status=410),
    ]
    async with served(admin(attempts=attempts)) as get:
        reply = await get("/attempts")

    newest, oldest = reply.json
    assert (newest["status"], "kind" in newest) == (410, False)
    assert (oldest["kind"], "status" in oldest) == ("refused", False)


async def test_no_attempts() -> None:
    """Before the first attempt ended there is an empty list."""
    async with served(admin()) as get:
        assert (await get("/attempts")).json == []


@of_each_path
async def test_head(path: str) -> None:
    """HEAD brings the headers of GET without the body."""
    async with served(admin()) as get:
        whole, head = await get(path), await get(path, method="HEAD")

    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]


async def test_unknown_path() -> None:
    """Other paths are 404."""
    async with served(admin()) as get:
        assert (await get("/v1/public-ip")).status == 404


@of_each_path
async def test_methods(path: str) -> None:
    """Verbs other than GET and HEAD are 405, which names these two."""
    async with served(admin()) as get:
        method = await get(path, method="POST")

    assert (method.status, method.headers["Allow"]) == (405, "GET, HEAD")
