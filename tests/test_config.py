"""The settings of `run`: flag, variable, default, and what is said of wrong ones."""

import os
import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from sidecar.commands.arguments import Parser
from sidecar.config import Loaded, load, load_variables, misspelt_variables, shown
from sidecar.core.listen import parse_listen
from sidecar.errors import ExitCode, UsageError
from sidecar.settings import ENVIRONMENT_PREFIX, Settings

DIRECT = ("--no-annotations",)
"""What makes every other flag optional."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from the environment of the tests."""
    for name in os.environ:
        if name.upper().startswith(ENVIRONMENT_PREFIX) or name in {"NODE_NAME", "HOST_IP"}:
            monkeypatch.delenv(name)


def read(*arguments: str) -> Loaded:
    """Read a command line of `run`."""
    return load(arguments, parser=Parser("run", description="Run."))


def refusal(*arguments: str) -> str:
    """What is said of a wrong command line."""
    with pytest.raises(UsageError) as caught:
        read(*arguments)
    assert caught.value.exit_code is ExitCode.USAGE
    return str(caught.value)


@dataclass(frozen=True)
class Setting:
    """One row of the contract's table, with a value other than the default."""

    field: str
    default: Any
    text: str
    value: Any
    shown_default: str

    @property
    def flag(self) -> str:
        """The flag's name."""
        return f"--{self.field.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The variable's name."""
        return f"AZURE_LB_METADATA_{self.field.upper()}"

    def __str__(self) -> str:
        return self.field


SETTINGS = [
    Setting("upstream", "imds", "http://agent:80", "http://agent:80", "imds"),
    Setting(
        "imds_endpoint",
        "http://169.254.169.254",
        "http://[::1]:80/",
        "http://[::1]:80",
        "http://169.254.169.254",
    ),
    Setting("imds_api_version", "2020-10-01", "2023-07-01", "2023-07-01", "2020-10-01"),
    Setting("poll_interval", 60.0, "1m30s", 90.0, "10s"),
    Setting("imds_timeout", 5.0, "250ms", 0.25, "5s"),
    Setting("stale_after", 300.0, "1h", 3600.0, "5m"),
    Setting("absent_after", 300.0, "10m", 600.0, "5m"),
    Setting("listen", parse_listen("127.0.0.1:16925"), "none", None, "127.0.0.1:16925"),
    Setting(
        "admin_listen",
        parse_listen("127.0.0.1:16926"),
        "unix:/run/a",
        parse_listen("unix:/run/a"),
        "127.0.0.1:16926",
    ),
    Setting("max_clients", 1024, "7", 7, "1024"),
    Setting("max_header_size", 8192, "1024", 1024, "8192"),
    Setting("idle_timeout", 75.0, "2m", 120.0, "1m15s"),
    Setting("allow_from", (), "10.0.0.0/8, fd00::/8", (ip_network("10.0.0.0/8"), ip_network("fd00::/8")), ""),
    Setting("node_name", None, "aks-pool1-vmss000000", "aks-pool1-vmss000000", ""),
    Setting("kubeconfig", None, "/etc/kubeconfig", Path("/etc/kubeconfig"), ""),
    Setting("context", None, "aks", "aks", ""),
    Setting("annotate", "full", "summary", "summary", "full"),
    Setting(
        "annotation_prefix",
        "azure-lb-metadata.io",
        "lb.example.com",
        "lb.example.com",
        "azure-lb-metadata.io",
    ),
    Setting(
        "previous_annotation_prefixes",
        (),
        "a.example.com, b.example.com",
        ("a.example.com", "b.example.com"),
        "",
    ),
    Setting("annotation_budget", 8192, "2048", 2048, "8192"),
    Setting("node_address", None, "10.224.0.4", ip_address("10.224.0.4"), ""),
    Setting("write_splay", 30.0, "1s", 1.0, "30s"),
    Setting("resync_interval", 900.0, "1h", 3600.0, "15m"),
    Setting("heartbeat_interval", 3600.0, "0", 0.0, "1h"),
    Setting("events_fault_after", 900.0, "1h", 3600.0, "15m"),
    Setting("file", None, "/run/lb.json", Path("/run/lb.json"), ""),
    Setting("log_format", None, "TEXT", "text", ""),
    Setting("log_level", "info", "Debug", "debug", "info"),
]
"""Every setting that takes a value; defaults are those of a direct sidecar."""

SWITCHES = ("annotations", "allow_forwarded", "metrics_addresses", "events")

each_setting = pytest.mark.parametrize("setting", SETTINGS, ids=str)


class TestEverySetting:
    """Each row of the table."""

    def test_table_is_complete(self) -> None:
        """No setting is left out of the table above, and each has a description."""
        assert {*(setting.field for setting in SETTINGS), *SWITCHES} == set(Settings.model_fields)
        assert all(field.description for field in Settings.model_fields.values())

    @each_setting
    def test_default(self, setting: Setting) -> None:
        """Without flag and variable there is the default."""
        loaded = read(*DIRECT)

        assert getattr(loaded.settings, setting.field) == setting.default
        assert loaded.origins[setting.field] == "default"

    @each_setting
    def test_flag(self, setting: Setting) -> None:
        """The flag sets it, in one word or two."""
        loaded = read(*DIRECT, f"{setting.flag}={setting.text}")

        assert getattr(loaded.settings, setting.field) == setting.value
        assert loaded.origins[setting.field] == setting.flag
        assert read(*DIRECT, setting.flag, setting.text).settings == loaded.settings

    @each_setting
    def test_variable(self, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
        """The variable sets it."""
        monkeypatch.setenv(setting.variable, setting.text)
        loaded = read(*DIRECT)

        assert getattr(loaded.settings, setting.field) == setting.value
        assert loaded.origins[setting.field] == setting.variable

    @each_setting
    def test_flag_over_variable(self, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
        """The flag comes before the variable, even before a wrong one."""
        monkeypatch.setenv(setting.variable, "!")
        loaded = read(*DIRECT, f"{setting.flag}={setting.text}")

        assert getattr(loaded.settings, setting.field) == setting.value
        assert loaded.origins[setting.field] == setting.flag

    @each_setting
    def test_empty_is_unset(self, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
        """An empty variable or flag is as if it were not there."""
        monkeypatch.setenv(setting.variable, "")

        assert getattr(read(*DIRECT, f"{setting.flag}=").settings, setting.field) == setting.default

    @each_setting
    def test_help(self, setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
        """The help names the flag, what it means and its default."""
        with pytest.raises(SystemExit):
            read("--help")

        help_text = " ".join(capsys.readouterr().out.split("options:")[1].split())
        start = help_text.index(f" {setting.flag} ")
        description = Settings.model_fields[setting.field].description
        default = f" [{setting.shown_default}]" if setting.shown_default else ""
        assert f"{description}{default} --" in help_text[start:] + " --"

    @each_setting
    def test_shown(self, setting: Setting) -> None:
        """A value is shown so that it could be written like this."""
        if setting.value is not None:
            text = shown(setting.value)
            assert getattr(read(*DIRECT, f"{setting.flag}={text}").settings, setting.field) == setting.value

    @pytest.mark.parametrize("field", Settings.model_fields)
    def test_no_name_that_kubernetes_injects(self, field: str) -> None:
        """No setting can be set by the variables of a Service named like us."""
        assert not re.match("(port|service)", field)


class TestSwitches:
    """Flags without a value."""

    def test_annotations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Annotations are on by default, the variable turns them off, the flag wins."""
        monkeypatch.setenv("NODE_NAME", "node-a")
        assert read().settings.annotations is True

        monkeypatch.setenv("AZURE_LB_METADATA_ANNOTATIONS", "false")
        assert read().settings.annotations is False
        assert read("--annotations").settings.annotations is True

    def test_allow_forwarded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Forwarded requests are refused by default."""
        assert read(*DIRECT).settings.allow_forwarded is False
        assert read(*DIRECT, "--allow-forwarded").settings.allow_forwarded is True

        monkeypatch.setenv("AZURE_LB_METADATA_ALLOW_FORWARDED", "1")
        assert read(*DIRECT).settings.allow_forwarded is True
        assert read(*DIRECT, "--no-allow-forwarded").settings.allow_forwarded is False

    @pytest.mark.parametrize("field", SWITCHES)
    def test_shown(self, field: str) -> None:
        """Switches are shown in lower case."""
        assert shown(getattr(read(*DIRECT).settings, field)) == "false"

    @pytest.mark.parametrize("field", SWITCHES)
    def test_bad_variable(self, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A variable that is neither yes nor no is refused."""
        monkeypatch.setenv(f"AZURE_LB_METADATA_{field.upper()}", "maybe")

        assert f"(AZURE_LB_METADATA_{field.upper()}): 'maybe': " in refusal()

    def test_flag_with_a_value(self) -> None:
        """A switch takes no value."""
        assert "--annotations" in refusal("--annotations=false")


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

    def test_bad_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a bad value the line names the common variable too."""
        monkeypatch.setenv("NODE_NAME", "Node_A")

        assert refusal() == (
            "--node-name (AZURE_LB_METADATA_NODE_NAME or NODE_NAME): 'Node_A' is not the name of a Node"
        )


BAD = [
    ("poll_interval", "10"),
    ("poll_interval", "0s"),
    ("poll_interval", "-5s"),
    ("poll_interval", "1d"),
    ("imds_timeout", "0ms"),
    ("imds_timeout", "16s"),
    ("stale_after", "soon"),
    ("absent_after", "1 s"),
    ("write_splay", "0s"),
    ("resync_interval", "1e3s"),
    ("heartbeat_interval", "-1s"),
    ("heartbeat_interval", "00"),
    ("imds_endpoint", "169.254.169.254"),
    ("imds_endpoint", "ftp://169.254.169.254"),
    ("imds_endpoint", "http://"),
    ("imds_endpoint", "http://[::1"),
    ("imds_endpoint", "http://host:99999"),
    ("imds_endpoint", "http://user@host"),
    ("imds_endpoint", "http://@host"),
    ("imds_endpoint", "http://host/metadata"),
    ("imds_endpoint", "http://host//"),
    ("imds_endpoint", "http://host?"),
    ("imds_endpoint", "http://host#"),
    ("imds_endpoint", "http://host?a=b"),
    ("imds_endpoint", "http://ho st"),
    ("imds_endpoint", " http://host"),
    ("imds_endpoint", "http://host\n"),
    ("upstream", "agent"),
    ("upstream", "http://agent/v1"),
    ("imds_api_version", "2020"),
    ("imds_api_version", "2020-10-01 "),
    ("listen", "16925"),
    ("listen", "localhost:16925"),
    ("listen", "::1:16925"),
    ("listen", "127.0.0.1:65536"),
    ("listen", "127.0.0.1:"),
    ("listen", "unix:relative"),
    ("admin_listen", "None"),
    ("max_header_size", "1023"),
    ("max_header_size", "65537"),
    ("idle_timeout", "0"),
    ("max_clients", "0"),
    ("max_clients", "many"),
    ("max_clients", "1.5"),
    ("max_clients", "1000001"),
    ("allow_from", "10.0.0.1/8"),
    ("allow_from", "10.0.0.0/8,"),
    ("allow_from", "everyone"),
    ("node_name", "Node_A"),
    ("node_name", "a" * 254),
    ("node_name", "None"),
    ("annotate", "FULL"),
    ("annotation_prefix", "kubernetes.io"),
    ("annotation_prefix", "lb.kubernetes.io"),
    ("annotation_prefix", "k8s.io"),
    ("annotation_prefix", "a.b.k8s.io"),
    ("annotation_prefix", "kubernetes.azure.com"),
    ("annotation_prefix", "a" * 111),
    ("annotation_prefix", "LB.example.com"),
    ("annotation_prefix", "lb.example.com/x"),
    ("annotation_prefix", "-lb"),
    ("annotation_budget", "2047"),
    ("annotation_budget", "262145"),
    ("node_address", "node-a"),
    ("node_address", "::ffff:10.0.0.1"),
    ("log_format", "xml"),
    ("log_level", "trace"),
]


class TestMistakes:
    """A mistake is one line that names flag and variable."""

    @pytest.mark.parametrize(("field", "text"), BAD)
    def test_bad_value(self, field: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The line begins with flag and variable and shows the value, wherever it came from."""
        setting = next(setting for setting in SETTINGS if setting.field == field)
        line = refusal(*DIRECT, f"{setting.flag}={text}")

        assert line.startswith(f"{setting.flag} ({setting.variable}")
        assert repr(text) in line
        assert line.isprintable()

        monkeypatch.setenv(setting.variable, text)
        assert refusal(*DIRECT) == line

    @pytest.mark.parametrize("prefix", ["mykubernetes.io", "k8s.io.example.com", "a" * 110, "x"])
    def test_good_prefix(self, prefix: str) -> None:
        """A domain that only looks like a reserved one is fine."""
        assert read(*DIRECT, f"--annotation-prefix={prefix}").settings.annotation_prefix == prefix

    def test_value_that_is_its_own_reason(self) -> None:
        """A value that the reason quotes is not said twice."""
        assert refusal(*DIRECT, "--poll-interval=10") == (
            "--poll-interval (AZURE_LB_METADATA_POLL_INTERVAL): "
            "'10' is not a duration such as 10s, 1m30s or 250ms"
        )

    def test_annotations_without_a_node(self) -> None:
        """Annotations need a node name; the line says where to get it."""
        line = refusal()

        assert line.startswith("--node-name (AZURE_LB_METADATA_NODE_NAME or NODE_NAME) is needed")
        assert "--no-annotations" in line

    def test_events_without_annotations(self) -> None:
        """Events are about the Node, so they need annotations; the line names both."""
        line = refusal(*DIRECT, "--events")

        assert line.startswith("--events (AZURE_LB_METADATA_EVENTS) needs --annotations")

    def test_annotations_of_an_upstream(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An upstream and annotations exclude each other, by flag or by variable."""
        line = refusal("--upstream=http://agent", "--annotations", "--node-name=a")
        assert "--annotations (AZURE_LB_METADATA_ANNOTATIONS)" in line
        assert "--upstream (AZURE_LB_METADATA_UPSTREAM)" in line

        monkeypatch.setenv("AZURE_LB_METADATA_ANNOTATIONS", "true")
        assert refusal("--upstream=http://agent", "--node-name=a") == line

    @pytest.mark.parametrize("flag", ["--listen", "--admin-listen"])
    def test_listening_on_an_unknown_node_address(self, flag: str) -> None:
        """`host` needs the node's own address, and the line says where to get it."""
        line = refusal(*DIRECT, f"{flag}=host:16925")
        assert line.startswith(f"{flag} (AZURE_LB_METADATA_")
        assert "--node-address" in line

        settings = read(*DIRECT, f"{flag}=host:16925", "--node-address=fd00::4").settings
        assert settings.node_address == ip_address("fd00::4")

    def test_prefix_that_is_also_an_earlier_one(self) -> None:
        """The present prefix cannot be among those whose keys are removed."""
        line = refusal("--node-name=a", "--previous-annotation-prefixes=b.example.com,azure-lb-metadata.io")

        assert "--previous-annotation-prefixes (AZURE_LB_METADATA_PREVIOUS_ANNOTATION_PREFIXES)" in line
        assert "--annotation-prefix" in line

    @pytest.mark.parametrize(
        "argument", ["--unknown", "--unknown=1", "--poll=1s", "--pollinterval=1s", "stray", "-v"]
    )
    def test_unknown_flag(self, argument: str) -> None:
        """Unknown flags, abbreviations and stray words are refused by name."""
        assert argument in refusal(*DIRECT, argument)

    def test_missing_value(self) -> None:
        """A flag at the end without its value is refused by name."""
        assert "--file" in refusal(*DIRECT, "--file")

    def test_the_last_of_a_repeated_flag_counts(self) -> None:
        """A flag given twice counts as it was given last; networks add up."""
        loaded = read(
            *DIRECT, "--stale-after=1s", "--stale-after=2s", "--allow-from=10.0.0.0/8", "--allow-from=::/0"
        )

        assert loaded.settings.stale_after == 2.0
        assert len(loaded.settings.allow_from) == 2


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
        ("name", "nearest"),
        [
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
