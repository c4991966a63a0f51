"""Replies of the simulated service as values: status, headers and bytes.

The wording follows the documents named at each text. "Guess" marks a text that no public document or capture
shows.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pydantic import JsonValue

JSON_TYPE = "application/json; charset=utf-8"
XML_TYPE = "text/xml; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"

IMDS_SERVER = "IMDS/150.870.65.1854"
"""The ``Server`` header of a capture from a virtual machine, 2026-02."""

IIS_SERVER = "Microsoft-IIS/10.0"
"""The ``Server`` header of captured replies in XML."""

# MicrosoftDocs/azure-docs:articles/load-balancer/troubleshoot-load-balancer-imds.md,
# in the wording of 2023-05-22; the first one as captured by the Ansible collection sap.sap_operations.
NO_METADATA = (
    "No load balancer metadata is found. Please check if your VM is using any non-basic SKU "
    "load balancer and retry later."
)
API_NOT_FOUND = 'API is not found: Path = "<UrlPath>", Method = "<Method>"'
API_NOT_AVAILABLE = "Load Balancer metadata API is not available right now. Please retry later"
NOT_CURRENTLY_AVAILABLE = "/metadata/loadbalancer is not currently available"
METHOD_NOT_ALLOWED = 'Http method is not allowed: Path = "<UrlPath>", Method = "<Method>"'
MISSING_PARAMETER = 'Missing required parameter "<ParameterName>". Please fix the request and retry.'
PARAMETER_NOT_ALLOWED = (
    'Parameter value is not allowed, or parameter value "<ParameterValue>" is not allowed for parameter '
    '"<ParameterName>". Please fix the request and retry.'
)
UNEXPECTED_REQUEST = "Unexpected request. Please check the query parameters and retry."
TOO_MANY_REQUESTS = "Too many requests"
UNAVAILABLE = "Internal service unavailable. Please retry later"

# MicrosoftDocs/azure-compute-docs:articles/virtual-machines/instance-metadata-service.md
VERSION_REJECTED = (
    "Bad request. api-version is invalid or was not specified in the request. "
    "For more information refer to aka.ms/azureimds"
)

NO_METADATA_HEADER_BODY = b'{ "error": "Bad request: . Required metadata header not specified" }'
"""Captured on an AKS node in 2025-02; the spaces and the lone dot are real."""

XML_BODY = """\
<?xml version="1.0" encoding="utf-8"?>
<Error xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">
    <Code>InvalidHttpVerb</Code>
    <Message>The HTTP verb specified was not recognized by the server.</Message>
    <Details>'<Method>' is not a supported verb.</Details>
</Error>"""
"""Body of the service's front end for unknown verbs: captured for PUT, 322 bytes
(jtblin/kube2iam issue 353); with HEAD in its place it has the 323 bytes of captured replies to HEAD."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One HTTP reply, before a fault changes its way to the client."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    server: str = IMDS_SERVER
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def encode(value: JsonValue) -> bytes:
    """Compact JSON in UTF-8, as the service writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def success(value: JsonValue) -> Reply:
    """A 200 with a JSON body."""
    return Reply(status=200, body=encode(value))


def text(value: str) -> Reply:
    """A 200 with plain text, as for ``format=text``."""
    return Reply(status=200, body=value.encode(), content_type=TEXT_TYPE)


def error(status: int, message: str) -> Reply:
    """An error of the shape ``{"error": "..."}``.

    The shape is ``ErrorResponse`` of Azure/azure-rest-api-specs, InstanceMetadataService 2023-07-01.
    """
    return Reply(status=status, body=encode({"error": message}))


def xml_error(method: str = "HEAD") -> Reply:
    """The 400 in XML that an AKS node received for HEAD and PUT requests."""
    body = fill(XML_BODY, Method=method).encode()
    return Reply(status=400, body=body, content_type=XML_TYPE, server=IIS_SERVER)


def fill(template: str, **names: str) -> str:
    """The template with each given ``<Name>`` replaced."""
    for name, value in names.items():
        template = template.replace(f"<{name}>", value)
    return template
