"""The variables for shells: read back by a shell."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from sidecar.core.addresses import parse_address
from sidecar.core.document import Document
from sidecar.core.egress import EgressState, SharedEgress, declared_networks
from sidecar.core.outcome import Failure, Reason
from sidecar.core.representation import print_variables, variables
from sidecar.core.state import Snapshot, State, observe
from tests.core.examples import answer, at, inbound, outbound, public
from tests.support.states import POLICY, none_accepted, snapshot_of

DOCUMENT = Document.of(
    public_ip_addresses=[
        public("20.1.2.3"),
        public("20.9.9.9", "10.240.0.5"),
        public("2001:db8::7", "fd00::4"),
    ],
    inbound_rules=[inbound("20.20.20.20"), inbound("20.20.20.20", port=80), inbound("2001:db8::20")],
    outbound_rules=[outbound("52.2.2.2"), outbound("52.1.1.1")],
)

NAMES = [
    "AZURE_LB_NODE",
    "AZURE_LB_STATUS",
    "AZURE_LB_PUBLIC_IP",
    "AZURE_LB_PUBLIC_IPV6",
    "AZURE_LB_PUBLIC_IPS",
    "AZURE_LB_INBOUND_IPS",
    "AZURE_LB_OUTBOUND_IPS",
    "AZURE_LB_EGRESS_IPS",
    "AZURE_LB_EGRESS_NETWORKS",
    "AZURE_LB_EGRESS_OBSERVED",
]


def published(document: Document) -> Snapshot:
    """The snapshot of a state that publishes this document."""
    return Snapshot.of(observe(State(started=at(0)), answer(document), at(0), POLICY), at(0), POLICY)


def sourced(lines: str) -> dict[str, str]:
    """The variables as a POSIX shell sees them after it has sourced the lines, all exported."""
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    script = f'set -eau; . /dev/stdin; exec "$0" -c "{show}"'
    shell = subprocess.run(
        ["/bin/sh", "-c", script, sys.executable],
        input=lines.encode(),
        capture_output=True,
        check=True,
        env={},
    )
    environment: dict[str, str] = json.loads(shell.stdout)
    return environment


class TestVariables:
    """Which variables there are and what they say."""

    def test_all_of_them(self) -> None:
        """Each variable has its value, lists are joined by commas in the document's order."""
        values = variables(published(DOCUMENT), node="node-a", node_address=parse_address("10.240.0.5"))

        assert values == {
            "AZURE_LB_NODE": "node-a",
            "AZURE_LB_STATUS": "ok",
            "AZURE_LB_PUBLIC_IP": "20.9.9.9",
            "AZURE_LB_PUBLIC_IPV6": "2001:db8::7",
            "AZURE_LB_PUBLIC_IPS": "20.1.2.3,20.9.9.9,2001:db8::7",
            "AZURE_LB_INBOUND_IPS": "20.20.20.20,2001:db8::20",
            "AZURE_LB_OUTBOUND_IPS": "52.1.1.1,52.2.2.2",
            "AZURE_LB_EGRESS_IPS": "20.1.2.3,20.9.9.9,2001:db8::7",
            "AZURE_LB_EGRESS_NETWORKS": "",
            "AZURE_LB_EGRESS_OBSERVED": "",
        }
        assert list(values) == NAMES

    def test_before_the_first_answer(self) -> None:
        """Before the first answer all variables are there, and all but the status are empty."""
        values = variables(snapshot_of(State(started=at(0))), node=None, node_address=None)

        assert values == dict.fromkeys(NAMES, "") | {"AZURE_LB_STATUS": "starting"}

    def test_none(self) -> None:
        """Where there is no metadata all variables are there, and say so."""
        values = variables(none_accepted(), node="node-a", node_address=None)

        assert values == dict.fromkeys(NAMES, "") | {
            "AZURE_LB_NODE": "node-a",
            "AZURE_LB_STATUS": "no-metadata",
        }

    def test_egress_without_public_ip(self) -> None:
        """A node without public IP addresses leaves from those of its outbound rules."""
        values = variables(
            published(Document.of(outbound_rules=[outbound("52.1.1.1")])), node=None, node_address=None
        )

        assert values["AZURE_LB_EGRESS_IPS"] == "52.1.1.1"
        assert values["AZURE_LB_PUBLIC_IP"] == ""

    def test_egress_declared_and_observed(self) -> None:
        """Declared networks and observed addresses have variables of their own; small ones are listed too."""
        snapshot = published(DOCUMENT)
        told = SharedEgress((), tuple(map(parse_address, ("20.7.7.7", "2001:db8::7"))), EgressState.UNLISTED)
        state = replace(
            snapshot.state, declared=declared_networks(["20.5.5.0/31", "20.6.0.0/16"]), told_egress=told
        )

        values = variables(replace(snapshot, state=state), node=None, node_address=None)

        assert values["AZURE_LB_EGRESS_IPS"] == "20.5.5.0,20.5.5.1,2001:db8::7"
        assert values["AZURE_LB_EGRESS_NETWORKS"] == "20.5.5.0/31,20.6.0.0/16"
        assert values["AZURE_LB_EGRESS_OBSERVED"] == "20.7.7.7,2001:db8::7"

    def test_nothing_ages(self) -> None:
        """Answers and failures that change neither address nor status change no variable."""
        state = observe(State(started=at(0)), answer(DOCUMENT), at(0), POLICY)
        later = observe(state, Failure(Reason.UNAVAILABLE, detail="x"), at(60), POLICY)
        later = observe(later, answer(DOCUMENT), at(120), POLICY)
        before = variables(Snapshot.of(state, at(0), POLICY), node="a", node_address=None)

        assert variables(Snapshot.of(later, at(120), POLICY), node="a", node_address=None) == before


class TestPrinted:
    """The lines that a shell sources."""

    def test_lines(self) -> None:
        """One line for each variable, quoted only where a shell needs it."""
        assert print_variables({"A": "20.1.2.3,2001:db8::7", "B": "", "C": "a b"}) == (
            "A=20.1.2.3,2001:db8::7\nB=\nC='a b'\n"
        )

    def test_shell_reads_them(self) -> None:
        """A shell that sources the lines has the same values, under `set -eu` too."""
        values = variables(published(DOCUMENT), node="node-a", node_address=None)

        assert sourced(print_variables(values)).items() >= values.items()

    @pytest.mark.parametrize(
        "value",
        [
            "$(exit 3)",
            "`exit 3`",
            "a'b",
            'a"b',
            "a;exit 3",
            "a\nexit 3",
            "-n",
            "~",
            "*",
            "a\\",
            "#",
            "!",
            "{a,b}",
        ],
    )
    def test_hostile_values(self, value: str) -> None:
        """No value is ever run, expanded or split."""
        assert sourced(print_variables({"VALUE": value}))["VALUE"] == value

    @settings(max_examples=20)
    @given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
    def test_any_value(self, value: str) -> None:
        """Any text survives the shell."""
        assert sourced(print_variables({"VALUE": value}))["VALUE"] == value
