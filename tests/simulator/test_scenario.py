"""Scenarios as people write them, and the errors of wrong ones."""

from pathlib import Path

import pytest

from sidecar.simulator import Scenario, ScenarioError, load_scenario, parse_scenario


def test_empty() -> None:
    """An empty scenario is the one of defaults: the data set "all", no fault, the limit on."""
    scenario = parse_scenario("")

    assert scenario == Scenario()
    assert scenario.document.name == "all"
    assert scenario.rate_limit


@pytest.mark.parametrize(
    ("text", "seconds"), [("1m30s", 90), ("250ms", 0.25), ("1.5h", 5400), ("0", 0), ("0s", 0), ("12", 12)]
)
def test_durations(text: str, seconds: float) -> None:
    """Durations are written as Kubernetes writes them; a bare number is seconds."""
    assert parse_scenario(f"steps: [{{at: {text}, fault: gone}}]").steps[0].at == seconds


def test_versions_are_no_dates() -> None:
    """A version in a scenario needs no quotes."""
    assert parse_scenario("versions: [2020-10-01]").versions == ("2020-10-01",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "scenario: [] is not a mapping with keys of: document fault addresses"),
        ("a: b: c", "line 1, column 5: mapping values are not allowed here"),
        ("document: \x00", "unacceptable character #x0000: special characters are not allowed"),
        ("documents: all", "scenario: there is no key 'documents' here; there are: document fault"),
        ("document: al", "document.name: there is no document 'al'; there are: none public-ip"),
        ("document: {name: all, inline: {}}", "document: inline and name exclude each other"),
        ("document: {raw: x, omit: [inboundRules]}", "document: raw is sent as it is"),
        ("document: {name: all, omit: [rules]}", "document.omit[0]: Input should be 'publicIpAddresses'"),
        ("steps: [{fault: gone}]", "steps[0].at: Field required"),
        ("steps: [{at: 1x, fault: gone}]", "steps[0].at: '1x' is not a duration"),
        ("steps: [{at: -1, fault: gone}]", "steps[0].at: Input should be greater than or equal to 0"),
        ("steps: [{at: 1s}, {at: 2s, fault: gon}]", "steps[1].fault.name: there is no fault 'gon'"),
        ("steps: [{at: 2s}, {at: 1s}]", "scenario: steps must be in the order of their times"),
        ("steps: [{at: 1s, document: }]", "steps[0]: document is empty: leave it out"),
        ("{steps: [{at: 2s}], repeatEvery: 2s}", "scenario: repeatEvery must be later than the last step"),
        ("versions: []", "versions: Tuple should have at least 1 item"),
        ("addresses: {node-1: all}", "'node-1' is neither an address nor a network"),
        ("addressing: own", "addressing: Input should be 'same' or 'per-caller'"),
        ("fault: {name: gone, times: 0}", "fault.times: Input should be greater than or equal to 1"),
    ],
)
def test_wrong_scenarios(text: str, said: str) -> None:
    """What is wrong is one line that names the place and what is allowed."""
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file(tmp_path: Path) -> None:
    """A scenario is read from a file."""
    path = tmp_path / "scenario.yaml"
    path.write_text("document: none")

    assert load_scenario(path).document.name == "none"
