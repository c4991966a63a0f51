"""The JSON Schema of the canonical document, from the models of the HTTP API: ``make schema-docs``."""

import json
import sys
from typing import Any

from pydantic import TypeAdapter

from sidecar.api import models
from sidecar.api.description.document import UntitledSchema
from tests.docs.pages import DOCS

FILE = DOCS / "schema" / "loadbalancer.schema.json"

_ADDRESSES = ("frontendIpAddress", "privateIpAddress")


def schema() -> dict[str, Any]:
    """What is a canonical document, as far as a schema can say: not the order of its entries and keys."""
    made = TypeAdapter(models.LoadBalancerDocument).json_schema(
        mode="serialization", schema_generator=UntitledSchema
    )
    for shape in (made, *made["$defs"].values()):
        # The API's answers may get more members; another byte of this document is a breaking change.
        shape["additionalProperties"] = False
        for name, member in shape["properties"].items():
            if name in _ADDRESSES:
                member["anyOf"] = [{"format": "ipv4"}, {"format": "ipv6"}]
            if member["type"] == "array":
                member["uniqueItems"] = True
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The canonical load balancer document",
        "description": (
            "The value of the annotation azure-lb-metadata.io/loadbalancer, and the member loadbalancer of "
            "/v1/loadbalancer. The order of keys and entries is not said here but in docs/annotations.md."
        ),
    }
    return {**made, **head}


def text() -> str:
    """The file as it should be."""
    return json.dumps(schema(), indent=2, sort_keys=True) + "\n"


def main() -> int:
    """Write the file."""
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
