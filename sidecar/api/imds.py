"""The wording of the metadata service, for the paths that imitate it.

The texts are those of MicrosoftDocs/azure-docs troubleshoot-load-balancer-imds.md in its version of
2023-05-22, whose wording the captured answers have.
"""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from sidecar.api import problems
from sidecar.api.parameters import API_VERSION, NEWEST_VERSIONS
from sidecar.core.document import canonical_bytes


def covers(path: str) -> bool:
    """Whether errors of a path have the metadata service's shape."""
    return path == "/metadata" or path.startswith("/metadata/")


def refusal(problem: problems.ProblemError, *, method: str, path: str) -> web.Response:
    """The metadata service's answer to a request with this problem."""
    status = problem.status
    where = f'Path = "{path}", Method = "{method}"'
    match problem:
        case problems.UnknownPathError():
            text = f"API is not found: {where}"
        case problems.MethodError():
            text = f"Http method is not allowed: {where}"
        case problems.MetadataHeaderError():
            text = "Bad request: . Required metadata header not specified"
        case problems.ForwardedError():
            # How it refuses X-Forwarded-For is not documented; 400 is what it gives for other headers.
            status, text = HTTPStatus.BAD_REQUEST, str(problem)
        case problems.MissingParameterError():
            text = f'Missing required parameter "{problem.name}". Please fix the request and retry.'
        case problems.ParameterValueError():
            text = (
                f'Parameter value is not allowed, or parameter value "{problem.value}" is not allowed for '
                f'parameter "{problem.name}". Please fix the request and retry.'
            )
        case problems.ParameterError():
            text = "Unexpected request. Please check the query parameters and retry."
        case problems.EmptyProblemError():
            text = (
                "No load balancer metadata is found. Please check if your VM is using any non-basic SKU load "
                "balancer and retry later."
            )
        case problems.NotReadyError():
            text = "Internal service unavailable. Please retry later"
        case _:
            text = str(problem)
    members: dict[str, object] = {"error": text}
    if getattr(problem, "name", None) == API_VERSION:
        members["newest-versions"] = NEWEST_VERSIONS
    return error_response(status, members, headers=problem.headers)


def error_response(
    status: HTTPStatus, members: Mapping[str, object], *, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error in the shape ``{"error": "…"}``.

    ``ErrorResponse`` of Azure/azure-rest-api-specs, InstanceMetadataService 2023-07-01.
    """
    return web.Response(
        status=status,
        body=canonical_bytes(members),
        headers={
            "Content-Type": "application/json; charset=utf-8",
            **problems.HEADERS,
            **(headers or {}),
        },
    )
