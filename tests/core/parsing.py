"""Answers of the metadata service as its JSON has them, parsed, for the tests of parsing."""

import json
from typing import Any

from sidecar.core.parsing import ParsedDocument, parse_response
from tests.core.examples import wire_inbound, wire_public

LISTS = ("publicIpAddresses", "inboundRules", "outboundRules")

FULL: dict[str, Any] = {
    "publicIpAddresses": [wire_public()],
    "inboundRules": [wire_inbound()],
    "outboundRules": [wire_public()],
}


def parse(**lists: Any) -> ParsedDocument:
    """Parse an answer with these lists."""
    return parse_response(json.dumps({"loadbalancer": lists}).encode())


def causes(parsed: ParsedDocument) -> list[tuple[str, str]]:
    """List and cause of every dropped entry."""
    return [(dropped.list_name, dropped.cause) for dropped in parsed.dropped]
