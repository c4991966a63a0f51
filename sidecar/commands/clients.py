"""Clients for the node's facts: of a running agent, the metadata service, a Node's annotations.

What the agent answers over HTTP is passed on; for the others the same answers are made here.
"""

import asyncio
import itertools
import random
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar
from urllib.parse import quote, urlencode

import aiohttp

from sidecar import clock
from sidecar.api.endpoints import ENDPOINTS, find
from sidecar.api.parameters import Format, read_parameters
from sidecar.api.problems import EmptyProblemError, ProblemError
from sidecar.api.request import Facts, Forms, Kind, ParsedRequest
from sidecar.commands.arguments import duration
from sidecar.config import load_variables
from sidecar.core.addresses import IPAddress, parse_address
from sidecar.core.annotations import Layout, found
from sidecar.core.backoff import retry_ceiling
from sidecar.core.egress import EgressState, SharedEgress
from sidecar.core.listen import ListenAddress
from sidecar.core.outcome import Failure, Reason, Status, Success
from sidecar.core.parsing import error_object
from sidecar.core.published import Published, read
from sidecar.core.reply import printable, shown
from sidecar.core.representation import variables
from sidecar.core.state import Policy, Snapshot, State, observe, restore
from sidecar.core.upstream import UpstreamResponse, interpret
from sidecar.errors import EmptyError, Error, ExitCode, UnreachableError, UsageError
from sidecar.metrics import Metrics
from sidecar.settings import Settings
from sidecar.sources import Source, reading
from sidecar.sources.imds import IMDSSource

WHATS = sorted(
    path.removeprefix("/v1/").replace("{ip}", "IP")
    for path, endpoint in ENDPOINTS.items()
    if path.startswith("/v1/") and endpoint.kind is Kind.DATA
)
"""Everything that can be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question, for whoever answers it."""

    what: str
    """The path below ``/v1/``."""
    query: str
    request: ParsedRequest

    @property
    def json_only(self) -> bool:
        """Whether there is no text form."""
        return self.request.route.forms is Forms.JSON

    def target(self, form: Format) -> str:
        """The target of a request to an agent."""
        return f"/v1/{quote(self.what)}?{self.query}{'&' if self.query else ''}format={form}"


def parse_asked(what: str, parameters: Sequence[str]) -> Query:
    """Read a path below ``/v1/`` and its parameters as ``NAME=VALUE``.

    Raises:
        UsageError: there is no such path, or it does not take these parameters.
    """
    found = find(f"/v1/{what}")
    if found is None or found[0].kind is not Kind.DATA:
        raise UsageError(f"there is no {what!r}", advice=f"there are {', '.join(WHATS)}")
    endpoint, last = found
    for parameter in parameters:
        if "=" not in parameter:
            raise UsageError(f"{parameter!r} is not NAME=VALUE")
    query = urlencode([(name, value) for name, _, value in (each.partition("=") for each in parameters)])
    try:
        # What the form and the node are is said by flags.
        accepted = endpoint.parameters - {"format", "node"}
        values = read_parameters(query, accepted=accepted, required=endpoint.required)
        address = None if last is None else parse_address(last)
    except (ProblemError, ValueError) as error:
        raise UsageError(f"{what}: {error}") from error
    return Query(what=what, query=query, request=ParsedRequest.of(endpoint, values, ip=address))


_Value = TypeVar("_Value")


class RetryLaterError(Error):
    """Not now; worth asking again."""

    def __init__(self, message: str, *, advice: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, advice=advice)
        self.retry_after = retry_after
        """Seconds that the other side asks to wait, if it does."""


class Deadline:
    """So many seconds, from when it is made within an event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = asyncio.get_running_loop().time() + seconds

    @property
    def over(self) -> bool:
        """Whether the time is up. For loops within `limit`, whose end a library may take for its own.

        See :func:`sidecar.stopping.cancelled`.
        """
        return asyncio.get_running_loop().time() >= self._end

    def limit(self) -> asyncio.Timeout:
        """A block that ends with ``TimeoutError`` when the time is up."""
        return asyncio.timeout_at(self._end)

    async def until_answered(self, ask: Callable[[], Awaitable[_Value]], *, whom: str) -> _Value:
        """Ask again with growing delays until there is an answer.

        Raises:
            UnreachableError: there was none in time; the text is the last one's, or says who was silent.
        """
        last = f"{whom} gave no answer"
        try:
            async with self.limit():
                for step in itertools.count():
                    try:
                        return await ask()
                    except RetryLaterError as error:
                        last, least = str(error), error.retry_after or 0.1
                    if self.over:
                        break
                    ceiling = retry_ceiling(step, poll_interval=1.0)
                    await asyncio.sleep(random.uniform(least, least + ceiling))  # noqa: S311 - no secret
        except TimeoutError:
            pass
        raise UnreachableError(f"no answer within {self._seconds:g} s", advice=last)


_RETRYABLE = {Reason.NOT_READY, Reason.THROTTLED, Reason.UNAVAILABLE, Reason.UNREACHABLE}
_POLICY = Policy(stale_after=float("inf"), absent_after=0.0)
"""Of an answer that is used at once."""


class IncompleteError(Error):
    """A part of the answer is missing where it was looked for."""

    exit_code = ExitCode.INCOMPLETE


class FactsClient(Protocol):
    """Somebody who answers."""

    async def answer(self, asked: Query, form: Format) -> bytes:
        """The body that answers a question, in one of its forms.

        Raises:
            NoneError: there is none.
            IncompleteError: it is not to be had from here.
        """
        ...

    async def variables(self) -> dict[str, str]:
        """The ``AZURE_LB_*`` variables."""
        ...


@dataclass(frozen=True, slots=True)
class SnapshotClient:
    """Answers from a snapshot as the HTTP API would."""

    snapshot: Snapshot
    node: str | None = None
    node_address: IPAddress | None = None
    """The node's own address, whose public IP comes first."""

    async def answer(self, asked: Query, form: Format) -> bytes:
        """See :class:`FactsClient`."""
        facts = Facts(self.snapshot, self.node, self.node_address)
        try:
            return asked.request.route.build(facts, replace(asked.request, form=form))
        except EmptyProblemError as error:
            raise EmptyError(str(error)) from error
        except ProblemError as error:
            raise IncompleteError(str(error)) from error

    async def variables(self) -> dict[str, str]:
        """See :class:`FactsClient`."""
        return variables(self.snapshot, node=self.node, node_address=self.node_address)


@dataclass(frozen=True, slots=True)
class AgentClient:
    """Answers by asking a running agent."""

    session: aiohttp.ClientSession
    url: str
    """Scheme, host and port."""
    deadline: Deadline

    async def answer(self, asked: Query, form: Format) -> bytes:
        """See :class:`FactsClient`."""
        return await self._get(asked.target(form))

    async def variables(self) -> dict[str, str]:
        """See :class:`FactsClient`."""
        snapshot = await self.published()
        return await self.variables_of(snapshot, node=snapshot.state.node(None))

    async def published(self) -> Snapshot:
        """What the agent publishes."""
        return _published(await self._get("/v1/loadbalancer"))

    async def variables_of(self, snapshot: Snapshot, *, node: str | None) -> dict[str, str]:
        """The variables of what the agent publishes; which public IP comes first is its own word."""
        given = variables(snapshot, node=node, node_address=None)
        for name, family in (("PUBLIC_IP", "ipv4"), ("PUBLIC_IPV6", "ipv6")):
            if given[f"AZURE_LB_{name}"]:
                address = await self._get(f"/v1/public-ip?format=text&family={family}")
                given[f"AZURE_LB_{name}"] = str(parse_address(address.decode().strip()))
        return given

    async def _get(self, target: str) -> bytes:
        return await self.deadline.until_answered(lambda: self._get_once(target), whom=self.url)

    async def _get_once(self, target: str) -> bytes:
        try:
            async with self.session.get(self.url + target, allow_redirects=False) as response:
                body = await reading.read(response)
        except reading.ERRORS as error:
            why = reading.failure(error).detail
            raise RetryLaterError(f"no agent answers at {self.url} ({why})") from error
        if response.status == 200:
            return body
        problem = error_object(body)
        told = problem.get("detail")
        detail = f"{self.url} says: {printable(told) if isinstance(told, str) else shown(body)}"
        if response.status == 404 and problem.get("code") == EmptyProblemError.code:
            # Any other 404 is that of an agent that does not know the path, or of another program.
            raise EmptyError(detail)
        if response.status in {429, 502, 503, 504}:
            raise RetryLaterError(detail)
        raise Error(detail)


async def reach_agent(session: aiohttp.ClientSession, url: str, *, deadline: Deadline) -> AgentClient | None:
    """The agent at this URL, or ``None`` if nothing listens there."""
    try:
        async with deadline.limit(), session.get(f"{url}/v1/loadbalancer", allow_redirects=False):
            return AgentClient(session, url, deadline)
    except aiohttp.ClientConnectorError:
        return None
    except (aiohttp.ClientError, TimeoutError, OSError):
        # Something is there, if slow: it is asked again when its answer is needed.
        return AgentClient(session, url, deadline)


async def ask_imds(
    source: Source, *, deadline: Deadline, node: str | None = None, node_address: IPAddress | None = None
) -> SnapshotClient:
    """Ask the metadata service, and again while that is of use.

    Args:
        source: The metadata service.
        deadline: How long to go on asking.
        node: Name of the machine's Node, if it is known.
        node_address: The node's own address, if it is known.

    Raises:
        UnreachableError: no answer in time.
        Error: it refuses, or answers with something else than a document.
    """

    async def once() -> Success:
        outcome = await source.fetch()
        if isinstance(outcome, Failure):
            kind = RetryLaterError if outcome.reason in _RETRYABLE else Error
            raise kind(f"the metadata service: {outcome.reason}", advice=outcome.detail)
        return outcome

    answer = await deadline.until_answered(once, whom="the metadata service")
    now = clock.now()
    # Not held back: what the service says now is what was asked for.
    state = State(started=now, empty_answers=3)
    snapshot = Snapshot.of(observe(state, answer, now, _POLICY), now, _POLICY)
    return SnapshotClient(snapshot, node, node_address)


async def ask_node(
    name: str, *, prefix: str, kubeconfig: str | None, context: str | None, deadline: float
) -> SnapshotClient:
    """Read the annotations of a Node, asking so many seconds; a login before that has its own time.

    Raises:
        IncompleteError: the document is not among them.
        UnreachableError: the API server did not answer in time.
    """
    # The client costs a second to import, which nobody else should wait for.
    from sidecar.kube import (  # noqa: PLC0415
        KubernetesError,
        NoAnswerError,
        NodeNotFoundError,
        ServerError,
        ThrottledError,
        connect,
    )

    layout = Layout(prefix=prefix)

    async def once() -> SnapshotClient:
        try:
            node = await nodes.get(name, cached=True)
        except (NoAnswerError, ServerError, ThrottledError) as error:
            raise RetryLaterError(str(error), retry_after=error.retry_after) from error
        except NodeNotFoundError as error:
            # The error's own advice is for an agent.
            raise Error(f"there is no Node {name}", advice="kubectl get nodes lists them") from error
        except KubernetesError as error:
            raise Error(str(error)) from error
        return _annotated(node.annotations, name, layout)

    async with connect(metrics=Metrics(), kubeconfig=kubeconfig, context=context) as nodes:
        return await Deadline(deadline).until_answered(once, whom="the Kubernetes API server")


def _annotated(annotations: Mapping[str, str], name: str, layout: Layout) -> SnapshotClient:
    earlier = found(annotations, layout=layout)
    if earlier is None or earlier.document is None:
        status, omitted = (printable(str(annotations.get(layout.key(key)))) for key in ("status", "omitted"))
        raise IncompleteError(
            f"Node {name} is not annotated with a document (status {status}, omitted {omitted})",
            advice=f"see kubectl get node {name} -o yaml for what there is, or ask the node's agent",
        )
    now = clock.now()
    said = read(annotations, layout=layout) or Published()
    egress = SharedEgress(
        said.egress_networks or (), said.egress_observed or (), said.egress_state or EgressState.OFF
    )
    state = restore(State(started=now, told_egress=egress), earlier, now, _POLICY)
    status = said.status or Status.STALE
    reason = None if status is Status.OK else said.reason or state.reason(status)
    return SnapshotClient(Snapshot(state=state, status=status, reason=reason), node=name)


def _published(body: bytes) -> Snapshot:
    """The snapshot that an agent's ``/v1/loadbalancer`` tells of.

    Raises:
        Error: it is not the answer of an agent.
    """
    now = clock.now()
    answer = interpret(UpstreamResponse(status=200, body=body, age="0"), node=None, last=None, now=now)
    if isinstance(answer, Failure):
        raise Error(f"the answer is not that of an agent: {answer.detail}")
    return Snapshot.of(observe(State(started=now), answer, now, _POLICY), now, _POLICY)


def add_target_arguments(parser: ArgumentParser, *, timeout: float) -> None:
    """Add ``--upstream``, ``--direct`` and ``--timeout``, which is so many seconds if not given."""
    parser.add_argument("--upstream", metavar="URL", help="ask this agent")
    parser.add_argument("--direct", action="store_true", help="ask the metadata service itself")
    parser.add_argument(
        "--timeout",
        type=duration,
        default=timeout,
        metavar="DURATION",
        help=f"how long to try [{timeout:g}s]",
    )


def check_target(parsed: Namespace) -> None:
    """See that at most one is named to be asked, for a command that has ``--node`` as well.

    Raises:
        UsageError: there are several.
    """
    if sum((parsed.direct, parsed.node is not None, parsed.upstream is not None)) > 1:
        raise UsageError("--direct, --node and --upstream exclude each other")


def settings_of(parsed: Namespace) -> Settings:
    """The settings of an agent here, of which its endpoint and where it listens matter.

    Raises:
        UsageError: a variable or ``--upstream`` is wrong, or ``--direct`` contradicts it.
    """
    if parsed.direct and parsed.upstream is not None:
        raise UsageError("--direct and --upstream exclude each other")
    given = {} if parsed.upstream is None else {"upstream": parsed.upstream}
    return load_variables(annotations=False, **given)


def agent_url(parsed: Namespace, settings: Settings) -> str | None:
    """The agent to ask: the one that is named, else the one on this host; ``None``: no agent."""
    if parsed.direct or parsed.upstream == "imds":
        return None
    if parsed.upstream is not None:
        return settings.upstream
    return url_of(settings.listen, settings)


def url_of(listen: ListenAddress | None, settings: Settings) -> str | None:
    """Where on this host a listener of an agent with these settings is reached; ``None``: not by TCP."""
    listen = listen and listen.at(settings.node_address)
    if listen is None or listen.path:
        return None
    host = "127.0.0.1" if listen.host is None else listen.host
    return f"http://[{host}]:{listen.port}" if ":" in str(host) else f"http://{host}:{listen.port}"


def metadata_service(settings: Settings) -> IMDSSource:
    """A client of the metadata service."""
    return IMDSSource(
        endpoint=settings.imds_endpoint,
        api_version=settings.imds_api_version,
        timeout=settings.imds_timeout,
        clock=clock.now,
    )
