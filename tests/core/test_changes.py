"""What changed, and the one line of text that says so."""

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, strategies as st

from sidecar.core.changes import HISTORY_LENGTH, Change, between, parse_changes, print_changes
from sidecar.core.document import EMPTY, Document
from tests.core.examples import (
    FULL,
    START,
    documents,
    few_documents,
    inbound,
    outbound,
    public,
    utc,
)


def change(number: int, *items: str) -> Change:
    """The change number so and so, a minute after the one before."""
    return Change(at=utc(60 * number), items=items or (f"+public 20.0.0.{number}",))


def printed(items: tuple[str, ...]) -> str:
    """One change of these items, printed."""
    return print_changes([Change(at=START, items=items)])


# What changed


def test_replaced_addresses_are_removals_then_additions() -> None:
    """A change lists what went before what came, by public IP, inbound endpoint and outbound IP."""
    after = Document.of(
        public_ip_addresses=[public("2001:db8::1")],
        inbound_rules=[inbound("2001:db8::2", protocol="udp", port=53)],
        outbound_rules=[outbound("52.2.2.2"), outbound("9.9.9.9")],
    )
    assert between(FULL, after, at=START).items == (
        "-public 20.1.2.3",
        "-inbound tcp/20.20.20.20:443",
        "-outbound 52.1.1.1",
        "+public 2001:db8::1",
        "+inbound udp/[2001:db8::2]:53",
        "+outbound 9.9.9.9",
        "+outbound 52.2.2.2",
    )


def test_what_stayed_is_not_mentioned() -> None:
    """Only what is on one side is listed."""
    grown = replace(FULL, outbound_rules=(*FULL.outbound_rules, outbound("52.2.2.2")))
    assert between(FULL, grown, at=START).items == ("+outbound 52.2.2.2",)
    assert between(grown, FULL, at=START).items == ("-outbound 52.2.2.2",)


@pytest.mark.parametrize(
    "after",
    [
        replace(FULL, inbound_rules=(inbound("20.20.20.20", backend=8443),)),
        replace(FULL, inbound_rules=(*FULL.inbound_rules, inbound("20.20.20.20", private="10.240.0.5"))),
        replace(FULL, outbound_rules=(outbound("52.1.1.1", "10.240.0.5"),)),
        replace(FULL, public_ip_addresses=(public("20.1.2.3", "10.240.0.5"),)),
    ],
)
def test_other_changes_are_rules(after: Document) -> None:
    """A change that moves no address and no endpoint is `~rules`."""
    assert between(FULL, after, at=START).items == ("~rules",)


def test_change_names_both_revisions() -> None:
    """A change says when it was and from which revision to which."""
    found = between(EMPTY, FULL, at=START)
    assert (found.at, found.before, found.after) == (START, EMPTY.revision, FULL.revision)


@given(documents | few_documents, few_documents)
def test_change_back_is_the_mirror_image(one: Document, other: Document) -> None:
    """What one change adds, the change back removes."""
    signs = {"+": "-", "-": "+", "~": "~"}
    flipped = {signs[item[0]] + item[1:] for item in between(other, one, at=START).items}
    assert set(between(one, other, at=START).items) == flipped


# Its text


def test_text_of_the_contract() -> None:
    """Changes are separated by semicolons, oldest first, each a time and its items."""
    changes = [change(0, "-outbound 52.1.1.1", "+outbound 52.2.2.2"), change(1, "~rules")]
    assert print_changes(changes) == (
        "2026-01-02T03:04:05Z -outbound 52.1.1.1 +outbound 52.2.2.2; 2026-01-02T03:05:05Z ~rules"
    )


def test_no_changes_are_no_text() -> None:
    """Without changes the text is empty, and an empty text is no changes."""
    assert print_changes([]) == ""
    assert parse_changes("") == ()


def test_the_last_five_are_printed() -> None:
    """Of many changes the last five are printed, newest last."""
    changes = [change(number) for number in range(8)]
    assert parse_changes(print_changes(changes)) == tuple(changes[-5:])


def test_older_changes_give_way_to_length() -> None:
    """Five changes that do not fit into 1 KiB are printed without the oldest of them."""
    items = tuple(f"+outbound 52.100.100.{number}" for number in range(100, 110))
    changes = [change(number, *items) for number in range(5)]
    text = print_changes(changes)
    assert 1024 - len(print_changes(changes[:1])) < len(text) <= 1024
    assert parse_changes(text) == tuple(changes[2:])


def test_tail_of_a_long_change_is_rules() -> None:
    """A single change of a thousand addresses keeps as many items as fit, then says `~rules`."""
    items = tuple(f"+outbound 52.1.{number // 256}.{number % 256}" for number in range(1000))
    text = printed(items)
    (read,) = parse_changes(text)
    assert 1024 - len(" +outbound 52.1.255.255") - len(" ~rules") < len(text) <= 1024
    assert read.items == (*items[: len(read.items) - 1], "~rules")


@pytest.mark.parametrize("length", range(1, 30))
def test_room_for_rules_is_always_left(length: int) -> None:
    """Wherever the line breaks off, `~rules` still fits into the 1 KiB."""
    text = printed(("+outbound " + "1" * length, *["+outbound 100.100.100.100"] * 100))
    assert text.endswith(" ~rules")
    assert len(text) <= 1024


def test_newest_change_is_always_printed() -> None:
    """A newest change that is too long by itself stands alone, shortened."""
    long = change(1, *(f"+outbound 52.1.1.{number}" for number in range(200)))
    (read,) = parse_changes(print_changes([change(0), long]))
    assert read.at == long.at


def test_item_too_long_for_any_line_is_rules() -> None:
    """A change whose only item does not fit is `~rules`."""
    assert printed(("+outbound " + "1" * 2000,)) == "2026-01-02T03:04:05Z ~rules"


@given(st.lists(st.tuples(few_documents, few_documents), max_size=8))
def test_printed_changes_are_read_back(pairs: list[tuple[Document, Document]]) -> None:
    """The last five changes are read back from their text: time and items; revisions are not in it."""
    changes = [between(one, other, at=utc(number)) for number, (one, other) in enumerate(pairs)]
    expected = tuple(replace(change, before=None, after=None) for change in changes[-5:])
    text = print_changes(changes)
    # Five changes of at most six short items each always fit.
    assert parse_changes(text) == expected
    assert print_changes(parse_changes(text)) == text


item_lists = st.lists(
    st.sampled_from(
        [
            "-public 20.1.2.3",
            "+inbound tcp/[2001:db8:1:2:3:4:5:6]:65535",
            "+inbound abcdefgh12345678/100.100.100.100:10000",
            "-outbound ::1",
            "~rules",
        ]
    ),
    min_size=1,
    max_size=60,
)


@given(st.lists(item_lists, max_size=6))
def test_text_is_bounded_ascii_and_stable(lists: list[list[str]]) -> None:
    """Any changes print as at most 1 KiB of ASCII, and reading and printing that again changes nothing."""
    text = print_changes(change(number, *items) for number, items in enumerate(lists))
    assert len(text.encode("ascii")) <= 1024
    assert print_changes(parse_changes(text)) == text


# Text from elsewhere

STAMP = "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    "part",
    [
        STAMP,
        f"{STAMP} ",
        f"{STAMP}  ~rules",
        f" {STAMP} ~rules",
        f"{STAMP} ~rules ",
        f"{STAMP} ~other",
        f"{STAMP} +public",
        f"{STAMP} +public ",
        f"{STAMP} public 20.1.2.3",
        f"{STAMP} *public 20.1.2.3",
        f"{STAMP} +private 20.1.2.3",
        f"{STAMP} +public node.example",
        f"{STAMP} +public 20.1.2.3 <script>",
        f"{STAMP} +public \u0662\u0660.1.2.3",
        f"{STAMP} +inbound 20.1.2.3:443",
        f"{STAMP} +inbound TCP/20.1.2.3:443",
        f"{STAMP} +outbound 20.1.2.3\n",
        f"{STAMP}\t~rules",
        "2026-01-02 ~rules",
        "yesterday ~rules",
        "~rules",
        ";",
        "\ud800",
    ],
)
def test_part_of_another_form_is_passed_over(part: str) -> None:
    """A part that is not exactly what is printed is passed over, and its neighbours are read."""
    text = f"2026-01-02T03:00:00Z ~rules; {part}; 2026-01-02T04:00:00Z ~rules"
    assert [change.items for change in parse_changes(text)] == [("~rules",)] * 2
    assert [change.at.hour for change in parse_changes(text)] == [3, 4]


def test_hostile_length_of_text_is_bounded() -> None:
    """A text of thousands of changes, which we never print, gives the last 50."""
    text = "; ".join(f"{at:%Y-%m-%dT%H:%M:%SZ} ~rules" for at in _minutes(9000))
    changes = parse_changes(text)
    assert len(changes) == HISTORY_LENGTH == 50
    assert changes[-1].at == utc(60 * 8999)


def _minutes(count: int) -> list[datetime]:
    return [utc(60 * number) for number in range(count)]


@given(st.text() | st.text(alphabet="+-~; pubilcoutndrse0123456789.:[]/TZ"))
def test_any_text_is_read_without_an_error(text: str) -> None:
    """Any text gives changes that print within the limits, and never an error."""
    for line in (text, f"{STAMP} {text}"):
        assert len(print_changes(parse_changes(line)).encode("ascii")) <= 1024
