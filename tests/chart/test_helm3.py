"""Helm 3.16, the oldest that the chart is for: it renders and refuses what Helm 4 does, in its own words."""

import pytest

from tests.chart.helm import HELMS, refusal, render
from tests.chart.test_kubernetes_versions import MATRIX
from tests.chart.test_refusals import IMPOSSIBLE, UNKNOWN, WRONG

pytestmark = pytest.mark.chart

SCHEMA = "values don't meet the specifications of the schema"


@pytest.mark.parametrize("name", MATRIX)
def test_same_objects(name: str) -> None:
    """Both Helms render the same objects in the same order."""
    # The Kubernetes that a Helm takes for granted without a cluster is its own.
    of_helm, of_helm3 = (render(MATRIX[name], options=["--kube-version", "1.34.0"], by=by) for by in HELMS)
    assert of_helm3.objects == of_helm.objects


@pytest.mark.parametrize("path", WRONG)
def test_wrong(path: str) -> None:
    """A wrong value is refused by the schema, which names it."""
    text = refusal({path: WRONG[path]}, by="helm3")
    assert SCHEMA in text
    assert f"- {path.removesuffix('.request')}" in text


@pytest.mark.parametrize("path", UNKNOWN)
def test_unknown(path: str) -> None:
    """A value that the chart does not have is refused by the schema."""
    text = refusal({path: True}, by="helm3")
    assert SCHEMA in text
    assert f"Additional property {path.rpartition('.')[2]} is not allowed" in text


def test_removed() -> None:
    """A value that is removed is refused by the schema."""
    assert "- policy: enabled is required" in refusal({"policy.enabled": None}, by="helm3")


@pytest.mark.parametrize("reason", IMPOSSIBLE)
def test_impossible(reason: str) -> None:
    """Values that exclude each other are refused, with the same words as by Helm 4 or those of the schema."""
    text = refusal(IMPOSSIBLE[reason], by="helm3")
    assert reason in text or f"{reason.replace('/', '.')} does not match" in text


@pytest.mark.parametrize("by", HELMS)
@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("1.25.16", "chart requires kubeVersion: >=1.26.0-0"),
        ("1.29.9", "which needs 1.30: set policy.enabled=false"),
    ],
)
def test_old_kubernetes(by: str, version: str, reason: str) -> None:
    """A Kubernetes too old for the chart, or for its policy, is refused with what to do."""
    assert reason in refusal({}, options=["--kube-version", version], by=by)


@pytest.mark.parametrize("by", HELMS)
def test_old_kubernetes_without_the_policy(by: str) -> None:
    """Without the policy the chart is for Kubernetes 1.26 and newer."""
    assert render({"policy.enabled": False}, options=["--kube-version", "1.26.0"], by=by).all("DaemonSet")
