"""What operators are told by: metrics, Events, alerts, the dashboard."""

import pytest

from tests.chart.helm import RELEASE, Value, refusal, render

pytestmark = pytest.mark.chart


def test_events_are_off() -> None:
    """By default agents send no Events and have no right to."""
    rendered = render(options=["--no-hooks"])
    assert "--events" not in rendered.arguments
    assert not rendered.all("Role")
    assert len(rendered.all("ValidatingAdmissionPolicy")) == 1


def test_events() -> None:
    """With Events the agents have a Role in `default` for them, and a policy beside it."""
    rendered = render({"events.enabled": True}, options=["--no-hooks"])
    (role,) = rendered.all("Role")
    (binding,) = rendered.all("RoleBinding")
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "default"
    assert role["rules"] == [
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]}
    ]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": RELEASE, "namespace": RELEASE}]
    policy = rendered.one("ValidatingAdmissionPolicy", f"{RELEASE}.events")["spec"]
    assert (policy["failurePolicy"], len(policy["matchConditions"])) == ("Fail", 1)
    assert rendered.one("ValidatingAdmissionPolicyBinding", f"{RELEASE}.events")
    assert {"--events", "--events-fault-after=15m"} <= {*rendered.arguments}


def test_events_without_the_policy() -> None:
    """Without policies there is none for Events either."""
    rendered = render({"events.enabled": True, "policy.enabled": False}, options=["--no-hooks"])
    assert not rendered.all("ValidatingAdmissionPolicy")
    assert rendered.all("Role")


def test_events_without_annotations() -> None:
    """Events need the way to the API server that annotations need."""
    assert "events.enabled needs publish.annotations" in refusal(
        {"events.enabled": True, "publish.annotations": False}
    )


def test_addresses_in_metrics() -> None:
    """Addresses are named in metrics only if asked for."""
    assert "--metrics-addresses" not in render().arguments
    assert "--metrics-addresses" in render({"metrics.addresses": True}).arguments


def test_alerts_and_dashboard_are_off() -> None:
    """By default there is neither a PrometheusRule nor a dashboard."""
    assert not render().all("PrometheusRule")
    assert not [item for item in render().all("ConfigMap") if "dashboard" in item["metadata"]["name"]]


def test_alerts() -> None:
    """The rules carry the labels that Prometheus selects by, and alerts those of a team."""
    rendered = render(
        {
            "prometheusRule.enabled": True,
            "prometheusRule.labels": {"release": "p"},
            "prometheusRule.alertLabels": {"team": "network"},
            "prometheusRule.for.stale": "1h30m",
        }
    )
    rule = rendered.one("PrometheusRule", RELEASE)
    assert rule["metadata"]["labels"]["release"] == "p"
    alerts = {alert["alert"]: alert for alert in rule["spec"]["groups"][0]["rules"]}
    assert alerts["AzureLBMetadataStale"]["for"] == "1h30m"
    assert alerts["AzureLBMetadataStale"]["labels"] == {"severity": "warning", "team": "network"}


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("prometheusRule.for.stale", "5 minutes"),
        ("prometheusRule.changedWithinSeconds", 0),
        ("prometheusRule.disabled", ["Stale"]),
        ("prometheusRule.runbooks", ""),
        ("dashboard.labels", {"grafana_dashboard": 1}),
    ],
)
def test_wrong_values(value: str, wrong: Value) -> None:
    """What cannot be a duration, a name or a label is refused by the schema."""
    assert value.rpartition(".")[2] in refusal({value: wrong})
