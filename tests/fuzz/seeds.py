"""What mutation begins with: real answers, documents of 250 rules, error bodies, and the kept corpus."""

import json
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]

CORPUS_FOLDER = _TESTS / "fuzz" / "corpus"
"""Inputs that once led somewhere new; each is a file of bytes as the service would send them."""

_RULES = 250
"""As many as a load balancer has by default (MicrosoftDocs/azure-docs azure-subscription-service-limits)."""

_EVERYTHING: dict[str, list[dict[str, object]]] = {
    "publicIpAddresses": [{"frontendIpAddress": "20.1.2.3", "privateIpAddress": "10.240.0.4"}],
    "inboundRules": [
        {
            "frontendIpAddress": "[2001:db8::5]",
            "protocol": "Tcp",
            "frontendPort": 443,
            "backendPort": 30443,
            "privateIpAddress": "fd00::10",
        }
    ],
    "outboundRules": [{"frontendIpAddress": "52.1.1.1", "privateIpAddress": "10.240.0.4"}],
}

_OTHER = {"frontendIpAddress": "52.2.2.2", "privateIpAddress": "10.240.0.4"}

SERVICE_ERRORS = (
    b'{"error":"No load balancer metadata is found. Please check if your VM is using any non-basic SKU."}',
    b'{"error":"/metadata/loadbalancer is not currently available"}',
    b'{"error":"Bad request. api-version is invalid","newest-versions":["2025-04-07","2024-07-17"]}',
    b'{"error":"Too many requests"}',
    b"<html><body>502 Bad Gateway</body></html>",
    b"",
)
"""Bodies that come with other statuses than 200, as the metadata service has them."""

ERRORS = (
    *SERVICE_ERRORS,
    b'{ "error": "Not found. Invalid version requested" }',
    b'{"error":"Bad request. api-version was not specified in the request."}',
    b'{"apiVersions":["2017-03-01","2020-09-01","2021-02-01","2023-07-01","2099-01-01"]}',
    b'{"error":"invalid_request","error_description":"Identity not found"}',
    b'{"error_description":"unknown"}',
    b"Request blocked by AAD Pod Identity NMI",
    b"pod list is empty",
    b"no healthy upstream",
    b"upstream connect error or disconnect/reset before headers. reset reason: connection failure",
    b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"nodes is forbidden","code":403}',
    b'{"type":"about:blank","title":"Not Found","status":404,"detail":"There is none.","code":"none"}',
    b'{"error":"Internal service unavailable. Please retry later"}',
    b'<?xml version="1.0"?>\n<Error>\n    <Code>InvalidHttpVerb</Code>\n</Error>',
)
"""The same, and those of others who answer in its place, or of others that are asked."""

LARGE_ERRORS = tuple(
    begin + entry * (1024 * 1024 // len(entry)) + end
    for begin, end in ((b"[", b"0]"), (b'{"error":[', b"0]}"), (b'{"error":"', b'"}'))
    for entry in (b'{"":{}},', b"[[]],", b"{},", b"0,", b"\\u0000")
)
"""Errors of a megabyte, which nobody may take for more than their beginning."""


def _encoded(document: object) -> bytes:
    return json.dumps({"loadbalancer": document}, separators=(",", ":")).encode()


def _large(rules: int) -> bytes:
    pairs = [{"frontendIpAddress": f"20.9.0.{number}", "privateIpAddress": "10.240.0.4"} for number in (1, 2)]
    inbound = [
        {
            "frontendIpAddress": f"[2603:1020::{number:x}]" if number % 5 == 0 else f"20.20.{number // 50}.7",
            "protocol": ("Tcp", "Udp", "All")[number % 3],
            "frontendPort": 1000 + number,
            "backendPort": 30000 + number,
            "privateIpAddress": "10.240.0.4" if number % 2 else f"20.20.{number // 50}.7",
        }
        for number in range(rules)
    ]
    return _encoded({"publicIpAddresses": pairs[:1], "inboundRules": inbound, "outboundRules": pairs})


def corpus() -> tuple[bytes, ...]:
    """The kept inputs, in the order of their names."""
    return tuple(path.read_bytes() for path in sorted(CORPUS_FOLDER.iterdir()))


SMALL = (
    *(path.read_bytes() for path in sorted((_TESTS / "assets" / "imds").glob("*.json"))),
    _encoded(_EVERYTHING),
    _encoded({**_EVERYTHING, "inboundRules": []}),
    _encoded({"publicIpAddresses": [], "inboundRules": [], "outboundRules": []}),
    _encoded(
        {**_EVERYTHING, "publicIpAddresses": [{"frontendIpAddress": "", "privateIpAddress": "10.0.0.4"}]}
    ),
    _encoded({**_EVERYTHING, "outboundRules": [*_EVERYTHING["outboundRules"], _OTHER]}),
    _encoded({**_EVERYTHING, "inboundRules": [{**_OTHER, "protocol": "All"}]}),
    *corpus(),
)
"""Answers of a few entries."""

LARGE = (_large(_RULES), _large(_RULES - 1), _large(2 * _RULES))
"""Answers of 250 rules and more."""
