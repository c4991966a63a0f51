"""What ``get`` is asked: a path of the HTTP API and its parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from sidecar.api.bodies import Question
from sidecar.api.endpoints import ENDPOINTS, Endpoint, Forms, Kind, find
from sidecar.api.filters import Filter
from sidecar.api.parameters import Format, read_parameters
from sidecar.api.problems import ProblemError
from sidecar.core.addresses import IPAddress, parse_address
from sidecar.errors import UsageError

__all__ = ["WHATS", "Asked", "parse_asked"]

WHATS = sorted(
    path.removeprefix("/v1/").replace("{ip}", "IP")
    for path, endpoint in ENDPOINTS.items()
    if path.startswith("/v1/") and endpoint.kind is Kind.DATA
)
"""Everything that can be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question, for whoever answers it."""

    what: str
    """The path below ``/v1/``."""
    endpoint: Endpoint
    query: str
    filter: Filter
    private_ip: IPAddress | None
    port: int | None

    @property
    def json_only(self) -> bool:
        """Whether there is no text form."""
        return self.endpoint.forms is Forms.JSON

    def question(self, form: Format) -> Question:
        """The question for what makes bodies."""
        return Question(self.filter, form, self.private_ip, self.port)

    def target(self, form: Format) -> str:
        """The target of a request to an agent."""
        return f"/v1/{quote(self.what)}?{self.query}{'&' if self.query else ''}format={form}"


def parse_asked(what: str, parameters: Sequence[str]) -> Asked:
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
    return Asked(
        what=what,
        endpoint=endpoint,
        query=query,
        filter=Filter.of(values),
        private_ip=address,
        port=values.get("port"),
    )
