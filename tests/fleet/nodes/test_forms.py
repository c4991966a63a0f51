"""The forms of `nodes`: what is empty and what is not known are told apart in each."""

import csv
import json

import pytest

from sidecar.core.document import Document
from sidecar.fleet.nodes import rendered
from tests.core.examples import FULL, public, utc
from tests.fleet.support import LAYOUT, NOW, annotated, judged, node

LISTS = ("publicIps", "inboundIps", "outboundIps", "egressIps")


def form(name: str, known: Document, *, omitted: str = "") -> str:
    """A node with this document, of whose annotations the budget left some out."""
    values = annotated(known)
    for each in filter(None, omitted.split(",")):
        del values[LAYOUT.key(each.partition("=")[0])]
    values[LAYOUT.key("omitted")] = omitted
    return rendered([judged(node(values=values))], name, problems=(), now=utc(NOW))


@pytest.mark.parametrize(
    ("known", "omitted", "cell", "value"),
    [
        (Document.of(), "", "", []),
        (FULL, "inbound-ips=3,egress-ips=1,outbound-ips=1,public-ips=3", "?", None),
    ],
    ids=["empty", "left out"],
)
def test_lists(known: Document, omitted: str, cell: str, value: object) -> None:
    """An empty list is an empty cell of CSV, one that the budget left out is a question mark."""
    (line,) = csv.DictReader(form("csv", known, omitted=omitted).splitlines())
    (as_json,) = json.loads(form("json", known, omitted=omitted))["nodes"]
    assert [line[name] for name in LISTS] == [cell] * len(LISTS)
    assert [as_json[name] for name in LISTS] == [value] * len(LISTS)


def test_cells() -> None:
    """Several items of a cell are separated by spaces; what a node does not have is empty."""
    both = Document.of(public_ip_addresses=[public("20.1.2.3"), public("20.1.2.4")])
    (line,) = csv.DictReader(form("csv", both).splitlines())
    assert line["publicIps"] == "20.1.2.3 20.1.2.4"
    assert (line["node"], line["status"], line["pool"], line["cluster"]) == ("node", "ok", "", "")
