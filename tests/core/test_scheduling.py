"""What keeps a DaemonSet's pods off a Node."""

import pytest

from sidecar.core.cluster import Placement, Requirement, Taint, Toleration

GPU = Taint("sku", "gpu", "NoSchedule")
LABELS = {"kubernetes.io/os": "linux", "pool": "a", "size": "4"}


def obstacles(placement: Placement, *taints: Taint) -> list[str]:
    """What is named, for a Node with the labels."""
    return list(map(str, placement.obstacles(labels=LABELS, taints=taints)))


@pytest.mark.parametrize(
    "toleration",
    [
        Toleration(operator="Exists"),
        Toleration(operator="Exists", effect="NoSchedule"),
        Toleration("sku", "Exists"),
        Toleration("sku", "Equal", "gpu"),
        Toleration("sku", "Equal", "gpu", "NoSchedule"),
    ],
)
def test_tolerated(toleration: Toleration) -> None:
    """A toleration covers a taint whose key, value and effect it names or leaves open."""
    assert obstacles(Placement(tolerations=[toleration]), GPU) == []


@pytest.mark.parametrize(
    "toleration",
    [
        Toleration("sku", "Equal", "cpu"),
        Toleration("sku", "Exists", effect="NoExecute"),
        Toleration("other", "Exists"),
        Toleration(value="gpu"),
    ],
)
def test_not_tolerated(toleration: Toleration) -> None:
    """Any other leaves the taint in the way, which is named with the value that would cover it."""
    assert obstacles(Placement(tolerations=[toleration]), GPU) == ["taint sku=gpu:NoSchedule: set nodes=all"]


def test_taints_that_keep_no_daemon_off() -> None:
    """Preferences, and the taints that every DaemonSet's pods tolerate, are no obstacle."""
    soft = Taint("sku", "gpu", "PreferNoSchedule")
    not_ready = Taint("node.kubernetes.io/not-ready", "", "NoExecute")
    assert obstacles(Placement(), soft, not_ready) == []


@pytest.mark.parametrize(
    ("requirement", "met"),
    [
        (Requirement("pool", "In", ("a", "b")), True),
        (Requirement("pool", "In", ("b",)), False),
        (Requirement("gone", "In", ("b",)), False),
        (Requirement("pool", "NotIn", ("a",)), False),
        (Requirement("gone", "NotIn", ("a",)), True),
        (Requirement("pool", "Exists"), True),
        (Requirement("gone", "Exists"), False),
        (Requirement("pool", "DoesNotExist"), False),
        (Requirement("gone", "DoesNotExist"), True),
        (Requirement("size", "Gt", ("3",)), True),
        (Requirement("size", "Lt", ("3",)), False),
        (Requirement("pool", "Gt", ("3",)), False),
        (Requirement("size", "Gt"), False),
        (Requirement("pool", "Resembles", ("a",)), True),
    ],
)
def test_requirements(requirement: Requirement, *, met: bool) -> None:
    """Labels are matched as the scheduler does; what a later Kubernetes may add is no obstacle."""
    assert requirement.met(LABELS) is met


def test_labels_named() -> None:
    """A label in the way is named, with a value to change only where there is one."""
    linux = Requirement("kubernetes.io/os", "In", ("windows",))
    pool = Requirement("pool", "NotIn", ("a",))
    placement = Placement(selector={"disk": "ssd"}, terms=[[linux, pool], [linux, pool, pool]])
    assert obstacles(placement) == [
        "no label disk: change nodeSelector or nodeExpressions",
        "label kubernetes.io/os=linux",
        "label pool=a: change nodeSelector or nodeExpressions",
    ]


def test_one_term_is_enough() -> None:
    """Of several terms one that is met is enough."""
    never = Requirement("pool", "DoesNotExist")
    assert obstacles(Placement(terms=[[never], [Requirement("pool", "Exists")]])) == []
