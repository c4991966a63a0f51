"""What is said of wrong values, flags and combinations."""

from ipaddress import ip_address

import pytest

from tests.config.reading import DIRECT, SETTINGS, read, refusal

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
    ("egress_declared", "20.1.2.1/30"),
    ("egress_declared", "224.0.0.0/24"),
    ("egress_declared", "20.1.2.0/30,"),
    ("egress_declared", "0.0.0.0/0"),
    ("egress_declared", ",".join(f"20.{number // 256}.{number % 256}.0/25" for number in range(1025))),
    ("egress_probe", "stun.example.org"),
    ("egress_probe", "stun:stun.example.org:0"),
    ("egress_probe", "stun:2001:db8::1"),
    ("egress_probe", ",".join(f"stun:{number}.example.org" for number in range(9))),
    ("egress_probe_interval", "59s"),
    ("egress_probe_flows", "0"),
    ("egress_probe_flows", "33"),
    ("egress_probe_keep", "0"),
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

    @pytest.mark.parametrize("field", ["egress_probe", "imds_endpoint", "upstream"])
    def test_password_in_a_url(self, field: str) -> None:
        """A URL with a password is refused and not shown: standard error may be kept for others to read."""
        flag = f"--{field.replace('_', '-')}"
        line = refusal(*DIRECT, f"{flag}=https://user:secret@echo.example.org/")
        assert line.startswith(f"{flag} (AZURE_LB_METADATA_{field.upper()}): ")
        assert "secret" not in line

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
