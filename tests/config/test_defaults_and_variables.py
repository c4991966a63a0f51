"""Where a value comes from when no flag gives it: other settings, variables, the downward API."""

import re
from ipaddress import ip_address

import pytest

from sidecar.config import load_variables, misspelt_variables
from sidecar.errors import UsageError
from tests.config.reading import DIRECT, SETTINGS, read, refusal


class TestDependentDefaults:
    """Defaults that follow from other settings."""

    def test_agent(self) -> None:
        """An agent that annotates polls every 10 s."""
        assert read("--node-name=a").settings.poll_interval == 10.0

    def test_direct_sidecar(self) -> None:
        """One that only reads the metadata service polls every 60 s, since there is one in every pod."""
        assert read(*DIRECT).settings.poll_interval == 60.0

    def test_upstream(self) -> None:
        """A sidecar of a node agent does not annotate, and polls every 10 s."""
        settings = read("--upstream=http://agent").settings

        assert (settings.annotations, settings.poll_interval) == (False, 10.0)


class TestCommonVariables:
    """NODE_NAME and HOST_IP, which pod templates set from the downward API."""

    def test_fallback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """They count where neither flag nor our own variable is given."""
        monkeypatch.setenv("NODE_NAME", "node-a")
        monkeypatch.setenv("HOST_IP", "10.224.0.4")
        loaded = read()

        assert loaded.settings.node_name == "node-a"
        assert loaded.settings.node_address == ip_address("10.224.0.4")
        assert (loaded.origins["node_name"], loaded.origins["node_address"]) == ("NODE_NAME", "HOST_IP")

    def test_precedence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Flag over our variable over the common one."""
        monkeypatch.setenv("NODE_NAME", "node-a")
        monkeypatch.setenv("AZURE_LB_METADATA_NODE_NAME", "node-b")

        assert read().settings.node_name == "node-b"
        assert read("--node-name=node-c").settings.node_name == "node-c"

    def test_empty(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Empty ones are unset."""
        monkeypatch.setenv("NODE_NAME", "")
        monkeypatch.setenv("HOST_IP", "")
        loaded = read(*DIRECT)

        assert (loaded.settings.node_name, loaded.settings.node_address) == (None, None)
        assert loaded.origins["node_name"] == "default"

    def test_addresses_of_both_families(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of several addresses, as `status.hostIPs` gives them, the first is the node's own."""
        monkeypatch.setenv("NODE_NAME", "aks-node")
        monkeypatch.setenv("HOST_IP", "10.224.0.4,fd00::4")
        assert read().settings.node_address == ip_address("10.224.0.4")

        monkeypatch.setenv("HOST_IP", "fd00::4, 10.224.0.4")
        assert read().settings.node_address == ip_address("fd00::4")

        for wrong in ("10.224.0.4,", "10.224.0.4,node-a"):
            monkeypatch.setenv("HOST_IP", wrong)
            assert refusal().startswith("--node-address (AZURE_LB_METADATA_NODE_ADDRESS or HOST_IP): ")

    def test_bad_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a bad value the line names the common variable too."""
        monkeypatch.setenv("NODE_NAME", "Node_A")

        assert refusal() == (
            "--node-name (AZURE_LB_METADATA_NODE_NAME or NODE_NAME): 'Node_A' is not the name of a Node"
        )


class TestUnknownVariables:
    """Variables with our prefix that are no setting."""

    def test_injected_by_kubernetes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What Kubernetes injects for a Service named like us changes nothing and is no mistake."""
        injected = {
            "AZURE_LB_METADATA_PORT": "tcp://10.0.0.1:80",
            "AZURE_LB_METADATA_PORT_80_TCP": "tcp://10.0.0.1:80",
            "AZURE_LB_METADATA_PORT_80_TCP_ADDR": "10.0.0.1",
            "AZURE_LB_METADATA_SERVICE_HOST": "10.0.0.1",
            "AZURE_LB_METADATA_SERVICE_PORT_HTTP": "80",
        }
        before = read(*DIRECT).settings
        for name, value in injected.items():
            monkeypatch.setenv(name, value)

        assert read(*DIRECT).settings == before
        assert misspelt_variables(injected) == {}

    @pytest.mark.parametrize(
        "suffix",
        [
            "SERVICE_HOST",
            "SERVICE_PORT",
            "SERVICE_PORT_HTTP",
            "PORT",
            "PORT_80_TCP",
            "PORT_80_TCP_PROTO",
            "PORT_80_TCP_PORT",
            "PORT_80_TCP_ADDR",
            "PORT_53_UDP_ADDR",
        ],
    )
    @pytest.mark.parametrize("service", ["SIMULATOR", "METRICS", "FILE", "NODE_NAME", "A_SECOND_ONE"])
    def test_injected_for_a_service_whose_name_begins_like_us(
        self, monkeypatch: pytest.MonkeyPatch, service: str, suffix: str
    ) -> None:
        """Nor does what it injects for a Service whose name begins with ours."""
        before, name = read(*DIRECT).settings, f"AZURE_LB_METADATA_{service}_{suffix}"
        monkeypatch.setenv(name, "tcp://10.0.0.1:80")

        assert read(*DIRECT).settings == before
        assert misspelt_variables({name: "tcp://10.0.0.1:80"}) == {}

    @pytest.mark.parametrize(
        ("name", "nearest"),
        [
            ("AZURE_LB_METADATA_FILE_PORT_80", "AZURE_LB_METADATA_"),
            ("AZURE_LB_METADATA_LISTEN_SERVICE", "AZURE_LB_METADATA_LISTEN"),
            ("AZURE_LB_METADATA_POLL_INTERVALL", "AZURE_LB_METADATA_POLL_INTERVAL"),
            ("AZURE_LB_METADATA_IMDS_TIME_OUT", "AZURE_LB_METADATA_IMDS_TIMEOUT"),
            ("AZURE_LB_METADATA_NODENAME", "AZURE_LB_METADATA_NODE_NAME"),
            ("AZURE_LB_METADATA_PORTS", "AZURE_LB_METADATA_"),
            ("AZURE_LB_METADATA_", "AZURE_LB_METADATA_"),
        ],
    )
    def test_misspelt(self, name: str, nearest: str) -> None:
        """Each is named with the nearest setting."""
        assert list(misspelt_variables({name: "1"})) == [name]
        assert misspelt_variables({name: "1"})[name].startswith(nearest)

    def test_settings_and_others(self) -> None:
        """Settings and variables without our prefix are nobody's mistake."""
        environment = {setting.variable: "1" for setting in SETTINGS} | {"PATH": "", "AZURE_LB_STATUS": "ok"}

        assert misspelt_variables(environment) == {}


class TestVariablesAlone:
    """Commands that do not have the settings as flags."""

    def test_given_comes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the command gives comes before the variables, and those before the defaults."""
        monkeypatch.setenv("AZURE_LB_METADATA_UPSTREAM", "http://one")
        monkeypatch.setenv("AZURE_LB_METADATA_IMDS_TIMEOUT", "1s")
        settings = load_variables(upstream="http://two")

        assert (settings.upstream, settings.imds_timeout, settings.stale_after) == ("http://two", 1.0, 300.0)

    def test_bad_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wrong variable is the same line as for `run`."""
        monkeypatch.setenv("AZURE_LB_METADATA_POLL_INTERVAL", "10")

        with pytest.raises(UsageError, match=re.escape("(AZURE_LB_METADATA_POLL_INTERVAL): '10' is not")):
            load_variables(annotations=False)
