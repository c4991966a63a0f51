"""How agents are reached: Service, NetworkPolicy, monitors, and the simulator instead of the real service."""

import pytest

from sidecar.commands import simulate
from sidecar.simulator import parse_scenario
from tests.chart.helm import RELEASE, Value, refusal, render

pytestmark = pytest.mark.chart

EGRESS: dict[str, Value] = {"networkPolicy.enabled": True, "networkPolicy.egress.enabled": True}
API_SERVER: dict[str, Value] = {"networkPolicy.egress.apiServerNetworks": ["203.0.113.7/32"]}


def test_service() -> None:
    """The Service has the release's full name and port 80, and never leaves the node."""
    spec = render().one("Service", RELEASE)["spec"]
    assert spec["internalTrafficPolicy"] == "Local"
    assert spec["ipFamilyPolicy"] == "PreferDualStack"
    assert spec["ports"] == [
        {"name": "http", "port": 80, "targetPort": "api", "protocol": "TCP", "appProtocol": "http"}
    ]


def test_service_with_host_network() -> None:
    """In the node's network the agent has one address, so the Service has one family."""
    assert render({"hostNetwork": True}).one("Service")["spec"]["ipFamilyPolicy"] == "SingleStack"


@pytest.mark.parametrize(
    ("values", "name"),
    [({}, "lb-azure-lb-metadata"), ({"nameOverride": "x"}, "lb-x"), ({"fullnameOverride": "y"}, "y")],
)
def test_name(values: dict[str, Value], name: str) -> None:
    """The name follows from the release's and the overrides."""
    assert render(values, release="lb").one("Service", name)


def test_network_policy() -> None:
    """The policy lets anyone ask, selects agents only, and says nothing of egress unless asked to."""
    spec = render({"networkPolicy.enabled": True}).one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert [rule["ports"][0]["port"] for rule in spec["ingress"]] == ["api", "admin"]
    assert not any("from" in rule for rule in spec["ingress"])
    assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "agent"


def test_network_policy_for_some() -> None:
    """Peers are taken as they are given."""
    peers = [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]
    spec = render({"networkPolicy.enabled": True, "networkPolicy.adminFrom": peers}).one("NetworkPolicy")[
        "spec"
    ]
    assert spec["ingress"][1]["from"] == peers


def test_egress() -> None:
    """Egress goes to the metadata service and the API server, and nowhere else."""
    spec = render({**EGRESS, **API_SERVER}).one("NetworkPolicy")["spec"]
    assert [(rule["to"][0]["ipBlock"]["cidr"], rule["ports"][0]["port"]) for rule in spec["egress"]] == [
        ("169.254.169.254/32", 80),
        ("203.0.113.7/32", 443),
    ]


def test_egress_to_another_endpoint() -> None:
    """The endpoint's address and port are what is let through."""
    values: dict[str, Value] = {**EGRESS, **API_SERVER, "imds.endpoint": "http://[fd00::1]:8080"}
    rule = render(values).one("NetworkPolicy")["spec"]["egress"][0]
    assert (rule["to"][0]["ipBlock"]["cidr"], rule["ports"][0]["port"]) == ("fd00::1/128", 8080)


def test_egress_without_the_api_server() -> None:
    """Egress without the API server's networks is refused, unless nothing is published there."""
    assert "apiServerNetworks" in refusal(EGRESS)
    render({**EGRESS, "publish.annotations": False})


def test_monitors() -> None:
    """The monitors scrape the admin port; both at once would scrape everything twice."""
    (endpoint,) = render({"podMonitor.enabled": True}).one("PodMonitor")["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("admin", "/metrics")
    rendered = render({"serviceMonitor.enabled": True, "serviceMonitor.labels": {"release": "p"}})
    monitor = rendered.one("ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "p"
    service = rendered.one("Service", f"{RELEASE}-metrics")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert (
        not monitor["spec"]["selector"]["matchLabels"].items()
        <= rendered.one("Service")["metadata"]["labels"].items()
    )


def test_simulator() -> None:
    """With the simulator the agents read it, and each caller gets its own addresses."""
    rendered = render({"simulator.enabled": True})
    name = f"{RELEASE}-simulator"
    assert f"--imds-endpoint=http://{name}.{RELEASE}" in rendered.arguments
    service = rendered.one("Service", name)["spec"]
    labels = rendered.one("Deployment", name)["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    scenario = parse_scenario(rendered.one("ConfigMap", name)["data"]["scenario.yaml"])
    assert scenario.addressing == "per-caller"
    command, *arguments = rendered.one("Deployment", name)["spec"]["template"]["spec"]["containers"][0][
        "args"
    ]
    assert (command, simulate.parser().parse_args(arguments).listen) == ("simulate", ("", 16980))


def test_simulator_and_egress() -> None:
    """Agents that may connect to few may connect to the simulator and ask for its name."""
    spec = render({**EGRESS, **API_SERVER, "simulator.enabled": True}).one("NetworkPolicy")["spec"]
    assert "podSelector" in spec["egress"][0]["to"][0]
    assert [port["port"] for port in spec["egress"][1]["ports"]] == [53, 53]
