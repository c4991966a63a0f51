"""What there is to choose from, for people and for ``--list``."""

from pydantic import JsonValue

from sidecar.simulator.documents import DOCUMENTS
from sidecar.simulator.faults import FAULTS


def catalogue() -> dict[str, JsonValue]:
    """Names of documents and faults, each with one line."""
    return {
        "documents": {name: data_set.summary for name, data_set in DOCUMENTS.items()},
        "faults": {
            "none": "no fault",
            **{name: fault.summary for name, fault in FAULTS.items()},
        },
    }
