"""The three who can be asked for the node's facts: a running agent, the metadata service, a Node.

What the agent answers over HTTP is passed on; for the others the same answers are made here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from sidecar import clock
from sidecar.api.bodies import Facts
from sidecar.api.parameters import Format
from sidecar.api.problems import NothingError, ProblemError
from sidecar.commands.patience import AgainError, Patience
from sidecar.commands.questions import Asked
from sidecar.core.addresses import IPAddress, parse_address
from sidecar.core.annotations import Layout, found
from sidecar.core.environment import variables
from sidecar.core.fleet.published import Published, read
from sidecar.core.outcome import Answer, Failure, Reason, Status
from sidecar.core.parsing import error_object
from sidecar.core.reply import printable, shown
from sidecar.core.state import Policy, Snapshot, State, observe, take_up
from sidecar.core.upstream import Response, interpret
from sidecar.errors import Error, ExitCode, NoneError
from sidecar.metrics import Metrics
from sidecar.sources import Source, reading

__all__ = [
    "AgentRespondent",
    "IncompleteError",
    "Respondent",
    "SnapshotRespondent",
    "ask_imds",
    "ask_node",
    "reach_agent",
]

_RETRYABLE = {Reason.NOT_READY, Reason.THROTTLED, Reason.UNAVAILABLE, Reason.UNREACHABLE}
_POLICY = Policy(stale_after=float("inf"), absent_after=0.0)
"""Of an answer that is used at once."""


class IncompleteError(Error):
    """A part of the answer is missing where it was looked for."""

    exit_code = ExitCode.INCOMPLETE


class Respondent(Protocol):
    """Somebody who answers."""

    async def answer(self, asked: Asked, form: Format) -> bytes:
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
class SnapshotRespondent:
    """Answers from a snapshot as the HTTP API would."""

    snapshot: Snapshot
    node: str | None = None
    node_address: IPAddress | None = None
    """The node's own address, whose public IP comes first."""

    async def answer(self, asked: Asked, form: Format) -> bytes:
        """See :class:`Respondent`."""
        facts = Facts(self.snapshot, self.node, self.node_address)
        try:
            return asked.endpoint.build(facts, asked.question(form))
        except NothingError as error:
            raise NoneError(str(error)) from error
        except ProblemError as error:
            raise IncompleteError(str(error)) from error

    async def variables(self) -> dict[str, str]:
        """See :class:`Respondent`."""
        return variables(self.snapshot, node=self.node, node_address=self.node_address)


@dataclass(frozen=True, slots=True)
class AgentRespondent:
    """Answers by asking a running agent."""

    session: aiohttp.ClientSession
    url: str
    """Scheme, host and port."""
    patience: Patience

    async def answer(self, asked: Asked, form: Format) -> bytes:
        """See :class:`Respondent`."""
        return await self._get(asked.target(form))

    async def variables(self) -> dict[str, str]:
        """See :class:`Respondent`."""
        snapshot = _published(await self._get("/v1/loadbalancer"))
        return await self.variables_of(snapshot, node=snapshot.state.node(None))

    async def variables_of(self, snapshot: Snapshot, *, node: str | None) -> dict[str, str]:
        """The variables of what the agent publishes; which public IP comes first is its own word."""
        given = variables(snapshot, node=node, node_address=None)
        for name, family in (("PUBLIC_IP", "ipv4"), ("PUBLIC_IPV6", "ipv6")):
            if given[f"AZURE_LB_{name}"]:
                address = await self._get(f"/v1/public-ip?format=text&family={family}")
                given[f"AZURE_LB_{name}"] = str(parse_address(address.decode().strip()))
        return given

    async def _get(self, target: str) -> bytes:
        return await self.patience.until_answered(lambda: self._get_once(target), whom=self.url)

    async def _get_once(self, target: str) -> bytes:
        try:
            async with self.session.get(self.url + target, allow_redirects=False) as response:
                body = await reading.read(response)
        except reading.ERRORS as error:
            why = reading.failure(error).detail
            raise AgainError(f"no agent answers at {self.url} ({why})") from error
        if response.status == 200:
            return body
        problem = error_object(body)
        told = problem.get("detail")
        detail = f"{self.url} says: {printable(told) if isinstance(told, str) else shown(body)}"
        if response.status == 404 and problem.get("code") == NothingError.code:
            # Any other 404 is that of an agent that does not know the path, or of another program.
            raise NoneError(detail)
        if response.status in {429, 502, 503, 504}:
            raise AgainError(detail)
        raise Error(detail)


async def reach_agent(
    session: aiohttp.ClientSession, url: str, *, patience: Patience
) -> AgentRespondent | None:
    """The agent at this URL, or ``None`` if nothing listens there."""
    try:
        async with patience.limit(), session.get(f"{url}/v1/loadbalancer", allow_redirects=False):
            return AgentRespondent(session, url, patience)
    except aiohttp.ClientConnectorError:
        return None
    except (aiohttp.ClientError, TimeoutError, OSError):
        # Something is there, if slow: it is asked again when its answer is needed.
        return AgentRespondent(session, url, patience)


async def ask_imds(
    source: Source, *, patience: Patience, node: str | None = None, node_address: IPAddress | None = None
) -> SnapshotRespondent:
    """Ask the metadata service, and again while that is of use.

    Args:
        source: The metadata service.
        patience: How long to go on asking.
        node: Name of the machine's Node, if it is known.
        node_address: The node's own address, if it is known.

    Raises:
        UnreachableError: no answer in time.
        Error: it refuses, or answers with something else than a document.
    """

    async def once() -> Answer:
        outcome = await source.fetch()
        if isinstance(outcome, Failure):
            kind = AgainError if outcome.reason in _RETRYABLE else Error
            raise kind(f"the metadata service: {outcome.reason}", advice=outcome.detail)
        return outcome

    answer = await patience.until_answered(once, whom="the metadata service")
    now = clock.now()
    # Not held back: what the service says now is what was asked for.
    state = State(started=now, empty_answers=3)
    snapshot = Snapshot.of(observe(state, answer, now, _POLICY), now, _POLICY)
    return SnapshotRespondent(snapshot, node, node_address)


async def ask_node(
    name: str, *, prefix: str, kubeconfig: str | None, context: str | None, patience: float
) -> SnapshotRespondent:
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

    async def once() -> SnapshotRespondent:
        try:
            node = await nodes.get(name, cached=True)
        except (NoAnswerError, ServerError, ThrottledError) as error:
            raise AgainError(str(error), retry_after=error.retry_after) from error
        except NodeNotFoundError as error:
            # The error's own advice is for an agent.
            raise Error(f"there is no Node {name}", advice="kubectl get nodes lists them") from error
        except KubernetesError as error:
            raise Error(str(error)) from error
        return _annotated(node.annotations, name, layout)

    async with connect(metrics=Metrics(), kubeconfig=kubeconfig, context=context) as nodes:
        return await Patience(patience).until_answered(once, whom="the Kubernetes API server")


def _annotated(annotations: Mapping[str, str], name: str, layout: Layout) -> SnapshotRespondent:
    earlier = found(annotations, layout=layout)
    if earlier is None or earlier.document is None:
        status, omitted = (printable(str(annotations.get(layout.key(key)))) for key in ("status", "omitted"))
        raise IncompleteError(
            f"Node {name} is not annotated with a document (status {status}, omitted {omitted})",
            advice=f"see kubectl get node {name} -o yaml for what there is, or ask the node's agent",
        )
    now = clock.now()
    state = take_up(State(started=now), earlier, now, _POLICY)
    said = read(annotations, layout=layout) or Published()
    status = said.status or Status.STALE
    reason = None if status is Status.OK else said.reason or state.reason(status)
    return SnapshotRespondent(Snapshot(state=state, status=status, reason=reason), node=name)


def _published(body: bytes) -> Snapshot:
    """The snapshot that an agent's ``/v1/loadbalancer`` tells of.

    Raises:
        Error: it is not the answer of an agent.
    """
    now = clock.now()
    answer = interpret(Response(status=200, body=body, age="0"), node=None, last=None, now=now)
    if isinstance(answer, Failure):
        raise Error(f"the answer is not that of an agent: {answer.detail}")
    return Snapshot.of(observe(State(started=now), answer, now, _POLICY), now, _POLICY)
