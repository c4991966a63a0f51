"""docs/annotations.md: its keys, its grammar and its schema are those of what an agent writes."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, strategies as st
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]

from sidecar.core.annotations import KEYS, Layout, annotations
from sidecar.core.changes import between
from sidecar.core.document import Document
from sidecar.core.outcome import Reason, Status
from sidecar.core.state import State
from tests.core.examples import FULL, at, documents, utc
from tests.core.test_annotations import observing
from tests.docs.pages import CHECKOUT, DOCS
from tools.pages import schema

TEXT = (DOCS / "annotations.md").read_text()
VECTORS: list[dict[str, Any]] = json.loads((CHECKOUT / "tests" / "assets" / "canonical.json").read_text())
VALIDATOR = Draft202012Validator(schema.schema(), format_checker=FormatChecker(("ipv4", "ipv6")))


def grammar() -> dict[str, re.Pattern[str]]:
    """The grammar of the page, by key; words in capitals are put in place."""
    block = re.search(r"^```text\n(IP .*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert block is not None
    lines = [line.split(maxsplit=1) for line in block[1].splitlines() if line]
    words: dict[str, str] = {}
    for name, rule in lines:
        words[name] = re.sub(r"\b[A-Z]{2,}\b", lambda found: f"(?:{words[found[0]]})", rule)
    return {name: re.compile(rule) for name, rule in words.items() if name.islower()}


GRAMMAR = grammar()
LAYOUT = Layout()


def published(before: Document, after: Document, *, budget: int, reason: Reason | None) -> dict[str, str]:
    """What an agent writes after a change, by key without the prefix."""
    change = () if before == after else (between(before, after, at=utc(7)),)
    state = State(started=at(0), document=after, observed=at(90), changed_at=utc(60), changes=change)
    status = Status.STALE if reason else Status.OK
    written = annotations(state, status, reason, layout=Layout(budget=budget))
    return {key.removeprefix(LAYOUT.key("")): value for key, value in written.items()}


@given(
    documents,
    documents,
    st.sampled_from((256, 1024, 2048, 8192)),
    st.none() | st.sampled_from([*Reason]),
)
def test_grammar(before: Document, after: Document, budget: int, reason: Reason | None) -> None:
    """Every value that an agent writes is of the grammar."""
    for name, value in published(before, after, budget=budget, reason=reason).items():
        assert GRAMMAR[name].fullmatch(value), (name, value)


def test_every_key() -> None:
    """The table and the grammar have every key, in the order in which they are written."""
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", TEXT.partition("## Grammar")[0], re.MULTILINE)
    assert tuple(rows) == KEYS == tuple(GRAMMAR)


@pytest.mark.parametrize("word", [*Reason, *Status])
def test_words(word: str) -> None:
    """Every word of status and reason is of the grammar, and is explained."""
    assert GRAMMAR["status" if word in [*Status] else "reason"].fullmatch(word)
    assert re.search(rf"\| `{word}` \||`{word}`[:;]", TEXT)


def test_schema_file() -> None:
    """The schema is the one that the models make, and a valid one."""
    assert schema.FILE.read_text() == schema.text(), "make schema-docs writes it"
    Draft202012Validator.check_schema(schema.schema())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_golden_vectors(vector: dict[str, Any]) -> None:
    """The canonical document of every golden vector is of the schema."""
    VALIDATOR.validate(json.loads(vector["canonical"]))


@given(documents)
def test_any_document(document: Document) -> None:
    """So is that of any document."""
    VALIDATOR.validate(document.wire())


@pytest.mark.parametrize(
    "change",
    [
        {"tunnelInterfaces": []},
        {"outboundRules": None},
        {"publicIpAddresses": [{"frontendIpAddress": "[2001:db8::1]", "privateIpAddress": "fd00::1"}]},
        {"publicIpAddresses": [{"frontendIpAddress": "20.1.2.3"}]},
        {"outboundRules": [{"frontendIpAddress": "20.1.2.3", "privateIpAddress": "10.0.0.4"}] * 2},
    ],
    ids=["another key", "no list", "brackets", "a missing member", "a duplicate"],
)
def test_not_canonical(change: dict[str, Any]) -> None:
    """What is no canonical document is not of the schema."""
    empty: dict[str, Any] = {"publicIpAddresses": [], "inboundRules": [], "outboundRules": []}
    assert VALIDATOR.is_valid(empty)
    assert not VALIDATOR.is_valid(empty | change)


def test_grammar_of_egress() -> None:
    """What is declared and observed is of the grammar as well."""
    state = observing(FULL, "20.7.7.7", "2603::7", networks="20.5.0.0/16,2603:1::/64")
    written = annotations(state, Status.OK, None, layout=LAYOUT)
    for name in ("egress-networks", "egress-observed", "egress-state", "egress-basis"):
        assert GRAMMAR[name].fullmatch(written[LAYOUT.key(name)]), name
