"""Keys under a prefix: whose they are, and what is written while there is no document."""

from hypothesis import given, strategies as st

from sidecar.core.annotations import (
    DEFAULT_PREFIX,
    KEYS,
    Layout,
    addresses,
    annotations,
    differing,
    field_manager,
    own,
    with_status,
)
from sidecar.core.outcome import Reason, Status
from sidecar.core.state import State
from tests.core.examples import FULL, at, utc

LAYOUT = Layout()
OTHER = Layout(prefix="lb.example.com")
STATE = State(started=at(0), document=FULL, observed=at(90), changed_at=utc(60))

# Prefixes


def test_another_prefix_changes_the_keys_alone() -> None:
    """Under another prefix the same names have the same values."""
    plain = annotations(STATE, Status.OK, None, layout=LAYOUT)
    assert annotations(STATE, Status.OK, None, layout=OTHER) == {
        key.replace(LAYOUT.prefix, OTHER.prefix): value for key, value in plain.items()
    }


def test_field_manager_is_one_for_each_prefix() -> None:
    """The default prefix has the plain field manager, every other one of its own within 128 bytes."""
    assert field_manager(DEFAULT_PREFIX) == "azure-lb-metadata"
    assert field_manager("lb.example.com") == "azure-lb-metadata/lb.example.com"
    assert len(field_manager("p" * 110)) <= 128


def test_own_are_the_keys_of_the_contract_under_the_prefix() -> None:
    """Keys of other prefixes, and unknown keys under ours, are not ours."""
    ours = {LAYOUT.key(name): name for name in KEYS}
    theirs = {
        OTHER.key("status"): "ok",
        LAYOUT.key("note"): "mine",
        f"x{LAYOUT.key('status')}": "ok",
        "status": "ok",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    assert own(ours | theirs, layout=LAYOUT) == ours
    assert own(ours | theirs, layout=OTHER) == {OTHER.key("status"): "ok"}


# Status without a document


def test_status_is_added_to_all_that_was_found() -> None:
    """`starting` comes with every key found, unchanged, in place of the old status and reason."""
    live = annotations(STATE, Status.STALE, Reason.THROTTLED, layout=LAYOUT)
    changed = with_status(live, Status.STARTING, Reason.REJECTED, layout=LAYOUT)
    expected = {LAYOUT.key("status"): "starting", LAYOUT.key("reason"): "rejected"}
    assert changed == live | expected


def test_status_without_reason_takes_the_old_reason_away() -> None:
    """Before the first attempt has ended there is no reason, so an old one goes."""
    live = {OTHER.key("status"): "stale", OTHER.key("reason"): "throttled", OTHER.key("revision"): "0" * 16}
    assert with_status(live, Status.STARTING, None, layout=OTHER) == {
        OTHER.key("status"): "starting",
        OTHER.key("revision"): "0" * 16,
    }


@given(live=st.dictionaries(st.sampled_from([LAYOUT.key(name) for name in KEYS]), st.text()))
def test_unprintable_values_are_not_written_again(live: dict[str, str]) -> None:
    """Whatever was found, what is written with `starting` is printable, and the printable part unchanged."""
    values = with_status(live, Status.STARTING, Reason.UNREACHABLE, layout=LAYOUT)
    assert all(value.isascii() and value.isprintable() for value in values.values())
    kept = {key for key, value in live.items() if value.isascii() and value.isprintable()}
    status = {LAYOUT.key("status"), LAYOUT.key("reason")}
    assert values.keys() == kept | status
    assert all(values[key] == live[key] for key in kept - status)


# Comparing


def test_differing_names_keys_that_are_not_the_same_on_both_sides() -> None:
    """A key with another value, and a key that only one side has, differ."""
    assert differing({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"}) == {"a", "c", "d"}
    assert differing({"a": "1"}, {"a": "1"}) == set()


def test_addresses_are_the_items_of_lists() -> None:
    """The items of several lists are one set; missing and empty lists have none."""
    values = {OTHER.key("public-ip"): "9.9.9.9", OTHER.key("public-ips"): "9.9.9.9,20.1.2.3"}
    assert addresses(values, ("public-ip", "public-ips", "egress-ips"), layout=OTHER) == {
        "9.9.9.9",
        "20.1.2.3",
    }
    assert addresses({OTHER.key("public-ips"): ""}, ("public-ips",), layout=OTHER) == set()
