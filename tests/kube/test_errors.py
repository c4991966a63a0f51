"""What the API server's refusals and broken answers come to."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sidecar.kube import (
    ForbiddenError,
    KubernetesError,
    MalformedBodyError,
    NodeClient,
    NodeNotFoundError,
    NodeReplacedError,
    RejectedError,
    ServerError,
    ThrottledError,
    UnauthorizedError,
)
from sidecar.kube.errors import TEXT_LIMIT
from sidecar.kube.requests import ANSWER_LIMIT
from tests.kube.asking import NODE, apply
from tests.support.fake_apiserver import FakeApiServer, Reply, refusal
from tests.support.faults import Origin, also_shows, api_failure, fault

UID_CAUSE = {"causes": [{"field": "metadata.uid", "reason": "FieldValueInvalid"}]}
FORBIDDEN = 'nodes "a" is forbidden: User "system:serviceaccount:n:s" cannot patch resource "nodes"'


@fault(
    Origin.API_SERVER,
    "The annotations are too much for the API server: 413",
    api_failure("413").but(
        logged='`publish-failed` that names `--annotation-budget`; `kubernetes_requests_total{code="413"}`.'
    ),
    cases=("reply7-RejectedError---annotation-budget",),
)
@pytest.mark.parametrize(
    ("reply", "error", "advice"),
    [
        (refusal(400), RejectedError, "admission policy"),
        (refusal(401, "Unauthorized"), UnauthorizedError, "service account"),
        (refusal(403, FORBIDDEN), ForbiddenError, "let system:serviceaccount:n:s get and patch nodes"),
        (refusal(403, "no"), ForbiddenError, "let the agent's user get and patch nodes"),
        (refusal(404), NodeNotFoundError, "--node-name"),
        (Reply(status=404, body=b"404 page not found"), MalformedBodyError, "address"),
        (refusal(409), NodeReplacedError, "read again"),
        (refusal(413), RejectedError, "--annotation-budget"),
        (refusal(422), RejectedError, "policy"),
        (refusal(422, details={"causes": "?"}), RejectedError, "policy"),
        (refusal(422, details={"causes": [7, {"field": "metadata.x"}]}), RejectedError, "policy"),
        (refusal(422, details=UID_CAUSE), NodeReplacedError, "read again"),
        (refusal(429), ThrottledError, "busy"),
        (refusal(500), ServerError, "health"),
        (Reply(status=503, body=b"<html>"), ServerError, "health"),
        (Reply(status=304), MalformedBodyError, "address"),
        (Reply(status=600), MalformedBodyError, "address"),
    ],
)
async def test_error_by_situation(
    client: NodeClient, server: FakeApiServer, reply: Reply, error: type[KubernetesError], advice: str
) -> None:
    """Each situation has its error, which knows the status and says what to fix."""
    server.script.append(reply)
    with pytest.raises(KubernetesError) as failure:
        await apply(client)
    assert type(failure.value) is error
    assert failure.value.status == reply.status
    assert failure.value.retry_after is None
    assert advice in failure.value.advice
    assert len(server.requests) == 1


@also_shows("The API server answers 429, with or without Retry-After", cases=("429",))
@fault(
    Origin.API_SERVER,
    "The API server answers 5xx, with or without Retry-After",
    api_failure("500"),
    cases=("500", "503"),
)
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_retry_after_seconds(client: NodeClient, server: FakeApiServer, status: int) -> None:
    """Seconds in Retry-After are passed on, whatever the body says."""
    server.script.append(Reply(status=status, headers={"Retry-After": "7"}, body=b"\xff"))
    with pytest.raises(KubernetesError) as failure:
        await client.get(NODE, cached=False)
    assert failure.value.retry_after == 7


async def test_retry_after_date(client: NodeClient, server: FakeApiServer) -> None:
    """A date in Retry-After becomes the seconds until then."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    server.script.append(Reply(status=503, headers={"Retry-After": date}))
    with pytest.raises(ServerError) as failure:
        await client.get(NODE, cached=False)
    assert failure.value.retry_after == pytest.approx(60, abs=60)


@pytest.mark.parametrize(
    ("stated", "seconds"), [(3, 3), (10**9, 300), (0, None), (-1, None), ("3", None), (None, None)]
)
async def test_retry_after_in_the_body(
    client: NodeClient, server: FakeApiServer, stated: object, seconds: float | None
) -> None:
    """Without the header, the Status object's own member counts, within bounds."""
    server.script.append(refusal(429, details={"retryAfterSeconds": stated}))
    with pytest.raises(ThrottledError) as failure:
        await client.get(NODE, cached=False)
    assert failure.value.retry_after == seconds


async def test_hostile_message(client: NodeClient, server: FakeApiServer) -> None:
    """A message is shown as printable ASCII on one line, and not all of a long one."""
    server.script.append(refusal(422, "a\x1b[31m\r\n\u202eb" + "x" * 10_000))
    with pytest.raises(RejectedError) as failure:
        await apply(client)
    text = failure.value.args[0]
    assert "422: a [31m bxxx" in text
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < TEXT_LIMIT + 100


@fault(
    Origin.API_SERVER,
    "The API server, or a proxy before it, answers 200 with something else",
    api_failure("200"),
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\xff",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"metadata": null}',
        b'{"metadata": {"name": "aks-nodepool1-vmss000000"}}',
        b'{"metadata": {"name": "aks-nodepool1-vmss000000", "uid": 7, "resourceVersion": "1"}}',
        b'{"metadata": {"name": "another", "uid": "u", "resourceVersion": "1"}}',
        b'{"metadata": {"name": "aks-nodepool1-vmss000000", "uid": "u", "resourceVersion": "1", %s}}'
        % b'"annotations": {"a": 1}',
        b'{"metadata": {"name": "aks-nodepool1-vmss000000", "uid": "u", "resourceVersion": "1", %s}}'
        % b'"annotations": ["a"]',
    ],
)
async def test_garbage(client: NodeClient, server: FakeApiServer, body: bytes) -> None:
    """A 200 with anything but the metadata of that Node is an error, and no Node."""
    server.script.append(Reply(body=body))
    with pytest.raises(MalformedBodyError) as failure:
        await client.get(NODE, cached=False)
    assert failure.value.status == 200


async def test_endless_answer(client: NodeClient, server: FakeApiServer) -> None:
    """An answer longer than a Node can be is not read to its end."""
    server.script.append(Reply(body=b" " * (3 * ANSWER_LIMIT), hold_body=True))
    with pytest.raises(MalformedBodyError, match="longer than"):
        await client.get(NODE, cached=False)
