"""Each setting by flag, variable and default, in the help, and as it is shown."""

import re

import pytest

from sidecar.config import shown
from sidecar.settings import Settings
from tests.config.reading import DIRECT, SETTINGS, SWITCHES, Setting, read, refusal

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
