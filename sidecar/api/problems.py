"""Why a request is not answered with data: one class per situation.

Each becomes ``application/problem+json`` (RFC 9457), or the metadata service's ``{"error": …}`` under
its own paths (:mod:`sidecar.api.imds`).
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

from aiohttp import web

from sidecar.core.document import canonical_bytes

SERVER = "azure-lb-metadata"
"""The ``Server`` header of every answer."""

HEADERS: Mapping[str, str] = MappingProxyType(
    {"Server": SERVER, "Cross-Origin-Resource-Policy": "same-origin"}
)
"""The headers of every answer. The second one keeps a browser from giving answers to pages of others."""

FORWARDED = "X-Forwarded-For"

METHODS = ("GET", "HEAD")
"""What every path answers."""


class ProblemError(Exception):
    """A request that is not answered with data; the text tells the client why."""

    status = HTTPStatus.BAD_REQUEST
    code: str | None = None
    """A word for programs, where the status alone could mean something else."""
    close = False
    """Whether the connection ends with this answer."""

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.headers = headers or {}


class UnknownPathError(ProblemError):
    """There is nothing at this path."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, path: str) -> None:
        super().__init__(f"There is nothing at {path!r}.")


class MethodError(ProblemError):
    """The path is known, and read-only."""

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, method: str) -> None:
        allowed = ", ".join(METHODS)
        super().__init__(
            f"{method} is not allowed: everything here is read-only.", headers={"Allow": allowed}
        )


def not_found(method: str, *, target: str, path: str) -> ProblemError:
    """Why there is no route: no such path, or the request is to none.

    ``OPTIONS *`` and CONNECT address the server and no path of it (RFC 9112, section 3.2).
    """
    return MethodError(method) if target == "*" or method == "CONNECT" else UnknownPathError(path)


class ParameterError(ProblemError):
    """A parameter is unknown, does not apply to the path, or stands there twice."""


class MissingParameterError(ProblemError):
    """A parameter that the path needs is missing."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The parameter {name!r} is missing.")
        self.name = name


class ParameterValueError(ProblemError):
    """The value of a parameter is not one of those it takes."""

    def __init__(self, name: str, value: str, *, expected: str) -> None:
        super().__init__(f"The parameter {name!r} takes {expected}, not {value!r}.")
        self.name = name
        self.value = value


class MetadataHeaderError(ProblemError):
    """The header ``Metadata: true`` is missing."""

    def __init__(self) -> None:
        super().__init__("The header 'Metadata: true' is missing.")


class ForwardedError(ProblemError):
    """The request came through a proxy, and those are refused."""

    status = HTTPStatus.FORBIDDEN

    def __init__(self) -> None:
        super().__init__(
            f"Requests with the header {FORWARDED} are refused, since a proxy may have brought them here "
            "from another node. The proxy of the Kubernetes API server adds that header; "
            "'kubectl port-forward' does not. The agent's flag --allow-forwarded lifts this."
        )


class BodyError(ProblemError):
    """The request has a body, which nothing here reads."""

    close = True

    def __init__(self) -> None:
        super().__init__("Requests here have no body.")


class OtherSiteError(ProblemError):
    """A browser asks under a name that somebody may have pointed here."""

    status = HTTPStatus.MISDIRECTED_REQUEST

    def __init__(self, host: str) -> None:
        super().__init__(
            f"Browsers are not answered under the name {host!r}, which could be anybody's: use an IP "
            "address, localhost, or the name of the Service, alone or in full (NAME.NAMESPACE.svc)."
        )


class OtherNodeError(ProblemError):
    """The data asked for are another node's."""

    status = HTTPStatus.MISDIRECTED_REQUEST

    def __init__(self, asked: str, own: str | None) -> None:
        agent = "The agent here does not know its node's name" if own is None else f"This is node {own!r}"
        super().__init__(f"{agent}; the request asks for node {asked!r}.")


class EmptyProblemError(ProblemError):
    """There is an answer, and it is "there is none"."""

    status = HTTPStatus.NOT_FOUND
    code = "none"


class NotReadyError(ProblemError):
    """There is no answer yet."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after = 1
    """Seconds. A retry costs the metadata service nothing."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Retry-After": str(self.retry_after)})


class _RetryLaterError(ProblemError):
    """This process does not answer now; whoever does next has a connection of its own."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    close = True

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class TooManyWaitingError(_RetryLaterError):
    """As many clients wait as may."""

    def __init__(self) -> None:
        super().__init__("There are too many clients that wait for changes.")


class StoppingError(_RetryLaterError):
    """The agent is about to stop."""

    def __init__(self) -> None:
        super().__init__("The agent is about to stop.")


def problem_response(
    status: HTTPStatus,
    detail: str | None,
    *,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """An answer of the media type ``application/problem+json`` (RFC 9457); ``None`` leaves out a member."""
    members: dict[str, object] = {"title": status.phrase, "status": status.value}
    if code is not None:
        members["code"] = code
    if detail is not None:
        members["detail"] = detail
    return web.Response(
        status=status,
        body=canonical_bytes(members),
        headers={"Content-Type": "application/problem+json", **HEADERS, **(headers or {})},
    )
