"""The library's client, kept open, and its traps.

Facts about ``kubernetes.aio`` 37.0.2 and aiohttp 3.14 that shape this module:

- ``CoreV1Api`` imports every model: 103 MiB and 1.3 s more than ``ApiClient`` alone, which takes
  11 MiB and 0.4 s, most of it for the synchronous package that the parent package imports with
  requests, urllib3 and oauthlib. No choice of submodules avoids that.
- ``call_api`` alone sends neither ``Authorization`` nor ``User-Agent``; ``param_serialize`` adds them.
- Its time-out is 300 s unless given, and does not cover credentials and the body. So it is switched
  off here, and the caller puts one limit around everything.
- ``ApiClient`` builds its TLS context in the constructor (blocking), its session with the first request.
- ``Content-Type: application/apply-patch+yaml`` with a dict is sent as JSON, which is YAML.
- A GET whose kept connection is reset is silently sent once more by aiohttp, and counted once here;
  a PATCH never is. Connections are kept for 15 s only, too short for a load balancer to forget them.
- Redirects are followed by aiohttp, to another origin without the token.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

import sidecar
from sidecar.kube.access import BEARER_TOKEN, Access, LoadingRules, load_access, read_token
from sidecar.kube.errors import CredentialsError, KubeConfigError, describe

__all__ = ["ANSWER_LIMIT", "APPLY", "MERGE", "METADATA", "METADATA_LIST", "Answer", "Connection", "Request"]

ANSWER_LIMIT = 4 * 1024 * 1024
"""Bytes of an answer that are read; etcd stores at most 1.5 MiB, and JSON escapes add to that."""

METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""Asks for the metadata of an object without the rest of it."""

METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Asks for the metadata of every object of a list."""

APPLY = "application/apply-patch+yaml"
"""A server-side apply."""

MERGE = "application/merge-patch+json"
"""A patch in which ``null`` removes (RFC 7396)."""

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask of the API server."""

    method: str
    path: str
    """From the first slash on; nothing in it needs quoting."""
    query: Sequence[tuple[str, str]] = ()
    accept: str = METADATA
    body: Mapping[str, Any] | None = None
    content_type: str | None = None
    """Of the body; ``None`` when there is none."""
    answer_limit: int = ANSWER_LIMIT
    """Bytes of the answer that are read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """Longer than the request's ``answer_limit`` when it was cut there."""


class Connection:
    """The library's client, loaded anew after what a change of credentials or authority looks like.

    That is a 401 (an embedded token or that of a plug-in ran out) or a connection that fails (TLS
    with another authority or an expired client certificate among the causes).
    """

    def __init__(self, rules: LoadingRules) -> None:
        self._rules = rules
        self._opening = asyncio.Lock()
        self._api: ApiClient | None = None
        self._access: Access | None = None
        self._outdated = False
        self._in_flight = 0

    async def open(self) -> tuple[ApiClient, Access]:
        """The client and what it was made of, opened if need be.

        Raises:
            KubeConfigError: there is no usable configuration.
        """
        async with self._opening:
            # A client that others still use is left to them, and to the next who finds it idle.
            if self._outdated and not self._in_flight:
                await self.close()
            if self._api is None or self._access is None:
                self._access = await load_access(self._rules)
                self._api = await _api_client(self._access)
                self._outdated = False
            return self._api, self._access

    async def close(self) -> None:
        """Close all connections; may be repeated."""
        api, self._api = self._api, None
        if api is not None:
            await api.close()

    async def exchange(self, request: Request) -> Answer:
        """Send one request and read the answer, whatever its status.

        Raises:
            CredentialsError: token or configuration cannot be read.
            aiohttp.ClientError, OSError: no whole answer.
        """
        try:
            api, access = await self.open()
        except KubeConfigError as error:
            raise CredentialsError(error.args[0], advice=error.advice) from error
        self._in_flight += 1
        try:
            await _renew_token(access)
            answer = await _send(api, request)
        except (aiohttp.ClientError, OSError):
            self._outdated = True
            raise
        finally:
            self._in_flight -= 1
        self._outdated |= answer.status == 401
        return answer


async def _api_client(access: Access) -> ApiClient:
    try:
        api = await asyncio.to_thread(ApiClient, access.configuration)
    except OSError as error:
        text = f"the certificates of the Kubernetes configuration are unusable: {describe(error)}"
        raise KubeConfigError(text, advice="see the certificate files of the pod or kubeconfig") from error
    api.user_agent = f"azure-lb-metadata/{sidecar.__version__}"
    return api


async def _renew_token(access: Access) -> None:
    """Take the token as it stands in its file now: kubelet renews it long before it runs out."""
    if access.token_file is not None:
        token = await asyncio.to_thread(read_token, access.token_file)
        access.configuration.api_key[BEARER_TOKEN] = f"Bearer {token}"


async def _send(api: ApiClient, request: Request) -> Answer:
    headers = {"Accept": request.accept}
    if request.content_type is not None:
        headers["Content-Type"] = request.content_type
    parameters = await api.param_serialize(
        request.method,
        request.path,
        query_params=list(request.query),
        header_params=headers,
        body=request.body,
        auth_settings=[BEARER_TOKEN],
    )
    result = await api.call_api(*parameters, _request_timeout=_NO_TIMEOUT)
    async with result.response as response:
        return Answer(response.status, response.headers, await _read(response, request.answer_limit))


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, or somewhat more than so many bytes of it."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)
