"""Which annotations a field manager alone applied."""

import pytest

from sidecar.kube.client import solely_applied


def entry(manager: str, *keys: str, operation: str = "Apply", subresource: str = "") -> dict[str, object]:
    """An entry of managed fields that owns annotations."""
    annotations: dict[str, object] = {key: {} for key in (".", *(f"f:{key}" for key in keys))}
    fields = {"f:metadata": {"f:annotations": annotations, "f:labels": {"f:label": {}}}}
    given: dict[str, object] = {"manager": manager, "operation": operation, "fieldsV1": fields}
    return {**given, "subresource": subresource} if subresource else given


def test_own() -> None:
    """Annotations that the manager applied are its own; labels are none, nor is the map itself."""
    assert solely_applied([entry("us", "a/x", "a/y")], manager="us") == {"a/x", "a/y"}


def test_shared() -> None:
    """What another manager owns as well would stay."""
    assert solely_applied([entry("us", "a/x", "a/y"), entry("them", "a/y")], manager="us") == {"a/x"}


@pytest.mark.parametrize(
    "other", [entry("us", "a/x", operation="Update"), entry("us", "a/x", subresource="status")]
)
def test_same_name(other: dict[str, object]) -> None:
    """An update, or a subresource, under the same name is another owner."""
    assert solely_applied([other], manager="us") == set()
    assert solely_applied([entry("us", "a/x", "a/y"), other], manager="us") == {"a/y"}


@pytest.mark.parametrize(
    "strange",
    [
        None,
        "text",
        [],
        {},
        {"manager": "us", "operation": "Apply"},
        {"manager": "us", "operation": "Apply", "fieldsV1": None},
        {"manager": "us", "operation": "Apply", "fieldsV1": {"f:metadata": []}},
        {"manager": "us", "operation": "Apply", "fieldsV1": {"f:metadata": {"f:annotations": 1}}},
        {"manager": ["us"], "operation": {}, "subresource": 7},
    ],
)
def test_strange_entries(strange: object) -> None:
    """What is no entry of managed fields owns nothing and spoils nothing."""
    assert solely_applied([strange, entry("us", "a/x")], manager="us") == {"a/x"}
