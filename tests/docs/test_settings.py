"""docs/settings.md says what the program takes, and what the chart sets of it."""

import re
from typing import Any

import pytest
import yaml

from sidecar.config import shown
from sidecar.settings import Settings, flag
from tools.pages.settings import CHART_VALUES, CHECKOUT, GROUPS, PAGE, SET_BY_CHART, page

CHART = CHECKOUT / "charts" / "azure-lb-metadata"
ARGUMENTS = (CHART / "templates" / "_agent.tpl").read_text()
POD = (CHART / "templates" / "daemonset.yaml").read_text()
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())

SAME_DEFAULT = sorted(CHART_VALUES.keys() - {"listen", "admin_listen", "allow_from", "log_format"})
"""Settings whose default the chart repeats; the others differ on purpose."""


def value(path: str) -> object:
    """A value of the chart by its path."""
    found: Any = VALUES
    for part in path.split("."):
        found = found[part]
    return found


def test_page() -> None:
    """The page is the one that the settings make."""
    assert PAGE.read_text() == page(), "make settings-docs writes it"


def test_every_setting_once() -> None:
    """Each setting of the program is in one group."""
    listed = [name for names in GROUPS.values() for name in names]
    assert sorted(listed) == sorted(Settings.model_fields)


def test_chart_sets_what_is_said() -> None:
    """The settings said to have a value are those that the templates give to the agent."""
    flags = set(re.findall(r'^- "?--(?:no-)?([a-z-]+)', ARGUMENTS, re.MULTILINE))
    variables = set(re.findall(r"name: AZURE_LB_METADATA_(\w+)$", POD, re.MULTILINE))
    given = {name.replace("-", "_") for name in flags} | {name.lower() for name in variables}
    assert given == CHART_VALUES.keys()
    assert all(re.search(rf"name: {name}$", POD, re.MULTILINE) for name in ("NODE_NAME", "HOST_IP"))
    assert SET_BY_CHART.isdisjoint(CHART_VALUES)


@pytest.mark.parametrize("name", SAME_DEFAULT)
def test_default_of_chart(name: str) -> None:
    """The chart's default for a setting is the program's."""
    field = Settings.model_fields[name]
    ours = field.get_default(
        call_default_factory=True, validated_data={"upstream": "imds", "annotations": True}
    )
    text = value(CHART_VALUES[name])
    if isinstance(ours, bool | None) or text == []:
        assert (text or None) == (ours or None)
        return
    given: Any = {"annotations": False, name: str(text)}
    assert shown(getattr(Settings(**given), name)) == shown(ours), flag(name)
