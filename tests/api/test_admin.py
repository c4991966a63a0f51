"""The admin listener."""

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from sidecar.api.admin import AdminApplication
from sidecar.metrics import Metrics
from tests.api.support import served


def admin(*, overdue: list[str] | None = None, ready: bool = True) -> AdminApplication:
    """An admin application in a given condition."""
    return AdminApplication(Metrics(), overdue=lambda: overdue or [], ready=lambda: ready)


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
    async with served(admin(overdue=overdue, ready=False)) as get:
        reply = await get("/livez")

    assert (reply.status, reply.text) == (status, text)


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_readyz(*, ready: bool, status: int) -> None:
    """The process is ready when it is told so, whatever its loops do."""
    async with served(admin(overdue=["poll"], ready=ready)) as get:
        reply = await get("/readyz")

    assert reply.status == status


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


async def test_refusals() -> None:
    """Other paths are 404 and other verbs 405."""
    async with served(admin()) as get:
        unknown, method = await get("/v1/public-ip"), await get("/livez", method="POST")

    assert (unknown.status, method.status, method.headers["Allow"]) == (404, 405, "GET, HEAD")
