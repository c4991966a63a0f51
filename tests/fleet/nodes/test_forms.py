"""The forms of `nodes`: what is empty and what is not known are told apart in each."""

import csv
import json

import pytest

from sidecar.core.document import Document
from sidecar.core.egress import EgressState
from sidecar.fleet.nodes import rendered
from sidecar.fleet.row import NodeRow
from tests.core.examples import FULL, outbound, public, utc
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


def table(*rows: NodeRow, form: str = "table") -> list[str]:
    """The lines of the table."""
    return rendered(rows, form, problems=(), now=utc(NOW)).splitlines()


def test_no_column_without_probes() -> None:
    """Where no node has probes the table is as wide as before."""
    row = judged(node(values=annotated(FULL)))
    assert table(row)[0].split()[-1] == "EGRESS"
    assert "OBSERVED" not in table(row, form="wide")[0]


def test_observed() -> None:
    """With probes there is a column for their state, and what is unlisted stands in the plain table."""
    out = Document.of(outbound_rules=[outbound("52.1.1.1")])
    rows = [
        judged(node("a", annotated(out, state=EgressState.AGREES, observed_from=["52.1.1.1"]))),
        judged(
            node(
                "b",
                annotated(
                    out,
                    state=EgressState.UNLISTED,
                    observed_from=["52.1.1.1", "203.0.113.7", "203.0.113.8", "203.0.113.9"],
                ),
            )
        ),
        judged(node("c", annotated(out))),
    ]
    header, *lines = table(*rows)
    assert header.split()[-2:] == ["EGRESS", "OBSERVED"]
    assert [line.split("52.1.1.1", 1)[1].strip() for line in lines] == [
        *("agrees", "unlisted (203.0.113.7,203.0.113.8,+1)", "-")
    ]
    assert "unlisted (203.0.113.7,203.0.113.8,203.0.113.9)" in table(*rows, form="wide")[2]
    probed, without = (json.loads("\n".join(table(row, form="json")))["nodes"][0] for row in rows[1:])
    assert (probed["egressState"], len(probed["egressObserved"])) == ("unlisted", 4)
    assert (without["egressState"], without["egressObserved"], without["egressNetworks"]) == (None, [], [])
    (line,) = csv.DictReader(table(rows[0], form="csv"))
    assert (line["egressState"], line["egressObserved"]) == ("agrees", "52.1.1.1")


def test_declared() -> None:
    """Declared networks stand in the column EGRESS, once with the addresses in them."""
    both = Document.of(outbound_rules=[outbound("52.1.1.1")])
    row = judged(node(values=annotated(both, declared=["203.0.113.4/31", "2603:1::/64"])))
    assert table(row)[1].split()[-1] == "203.0.113.4/31,2603:1::/64"
    six = judged(node(values=annotated(both, declared=["2603:1::/64"])))
    assert table(six)[1].split()[-1] == "2603:1::/64,52.1.1.1"
    (as_json,) = json.loads("\n".join(table(row, form="json")))["nodes"]
    assert as_json["egressNetworks"] == ["203.0.113.4/31", "2603:1::/64"]
    assert as_json["egressIps"] == ["203.0.113.4", "203.0.113.5"]
