"""The document: its canonical bytes and its revision, which are a contract."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.core.document import EMPTY, LISTS, Document, canonical_bytes
from sidecar.core.parsing import parse_canonical, parse_response
from tests.core.examples import FULL, documents, few_documents, inbound, outbound, public

ASSETS = Path(__file__).parent.parent / "assets"
VECTORS: list[dict[str, Any]] = json.loads((ASSETS / "canonical.json").read_text())
PUBLISHED = sorted((ASSETS / "imds").glob("*.json"))
by_name = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])


@by_name
def test_canonical_bytes_are_the_contract(vector: dict[str, Any]) -> None:
    """The canonical bytes and the revision of every golden vector are what they have always been."""
    document = parse_response(json.dumps(vector["input"]).encode()).document
    assert document.canonical.decode("ascii") == vector["canonical"]
    assert document.revision == vector["revision"]


@by_name
def test_golden_revision_is_the_hash_of_the_golden_text(vector: dict[str, Any]) -> None:
    """A revision is 16 hex digits of the SHA-256 of the canonical text, computed here without the code."""
    assert hashlib.sha256(vector["canonical"].encode()).hexdigest()[:16] == vector["revision"]


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_document_is_a_golden_vector(path: Path) -> None:
    """Every document published by others is the input of the golden vector of the same name."""
    assert [vector["input"] for vector in VECTORS if vector["name"] == path.stem] == [
        json.loads(path.read_text())
    ]


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_document_loses_nothing(path: Path) -> None:
    """No entry of a published document is dropped, and white space does not matter."""
    parsed = parse_response(path.read_bytes())
    lists = json.loads(path.read_text())["loadbalancer"]
    assert parsed.dropped == ()
    assert parsed.document.entries == sum(len(entries) for entries in lists.values())
    assert f"`{path.name}`" in (path.parent / "README.md").read_text()


@given(documents, st.randoms(use_true_random=False))
def test_order_of_arrival_does_not_matter(document: Document, shuffler: random.Random) -> None:
    """Entries shuffled and repeated make the same document, the same bytes and the same revision."""
    again = Document.of(**{name: _shuffled(getattr(document, name), shuffler) for name in LISTS})
    assert again == document
    assert again.canonical == document.canonical
    assert again.revision == document.revision


def _shuffled(entries: tuple[Any, ...], shuffler: random.Random) -> list[Any]:
    repeated = [*entries, *entries[:2]]
    shuffler.shuffle(repeated)
    return repeated


@given(documents)
def test_parsing_the_canonical_bytes_is_identity(document: Document) -> None:
    """The canonical bytes are read back as the same document, bare and within the outer key."""
    for parsed in (
        parse_canonical(document.canonical),
        parse_response(b'{"loadbalancer":' + document.canonical + b"}"),
    ):
        assert parsed.document == document
        assert parsed.document.canonical == document.canonical
        assert parsed.dropped == ()


@given(few_documents | documents, few_documents)
def test_revision_tells_documents_apart(one: Document, other: Document) -> None:
    """Two documents have the same revision exactly when they are equal."""
    assert (one.revision == other.revision) == (one == other)


@given(documents)
def test_canonical_bytes_are_compact_ascii(document: Document) -> None:
    """The canonical document is ASCII without white space or brackets around addresses, keys in order."""
    text = document.canonical.decode("ascii")
    assert list(json.loads(text)) == ["publicIpAddresses", "inboundRules", "outboundRules"]
    assert json.loads(text) == document.wire()
    assert not set(text) & set(" \t\r\n\\")
    assert '"[' not in text


def test_json_of_ours_is_ascii() -> None:
    """Text beyond ASCII is escaped, so that bytes do not depend on an encoding."""
    assert canonical_bytes(["\u00e9", "\U0001f600"]) == b'["\\u00e9","\\ud83d\\ude00"]'


def test_documents_are_counted() -> None:
    """A document knows how many entries it has, and whether it has any."""
    assert (EMPTY.empty, EMPTY.entries) == (True, 0)
    assert (FULL.empty, FULL.entries) == (False, 3)


@pytest.mark.parametrize(
    "document",
    [
        Document.of(public_ip_addresses=[public("20.1.2.3")]),
        Document.of(inbound_rules=[inbound("20.1.2.3")]),
        Document.of(outbound_rules=[outbound("20.1.2.3")]),
    ],
)
def test_one_entry_in_any_list_is_not_empty(document: Document) -> None:
    """A document with an entry in any one of its lists is not empty."""
    assert not document.empty
    assert document.entries == 1


def test_same_addresses_in_different_lists_are_different_facts() -> None:
    """A public IP and an outbound rule of the same two addresses are not equal."""
    assert len({public("20.1.2.3"), outbound("20.1.2.3")}) == 2


@pytest.mark.parametrize(
    "other",
    [
        inbound("20.20.20.21"),
        inbound("20.20.20.20", protocol="udp"),
        inbound("20.20.20.20", port=80),
        inbound("20.20.20.20", backend=80),
        inbound("20.20.20.20", private="10.240.0.5"),
    ],
)
def test_every_member_of_a_rule_counts(other: Any) -> None:
    """Rules that differ in any one member are two rules, and the revision says so."""
    rule = inbound("20.20.20.20")
    both = Document.of(inbound_rules=[other, rule])
    assert set(both.inbound_rules) == {rule, other}
    assert both.revision != Document.of(inbound_rules=[rule]).revision
