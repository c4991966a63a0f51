"""What agents may do in the cluster."""

import pytest

from sidecar.fleet import prune
from tests.chart.helm import RELEASE, Value, refusal, render

pytestmark = pytest.mark.chart

NO_HOOKS = ["--no-hooks"]
CLUSTER_KINDS = {
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


def test_cluster_role() -> None:
    """Agents may get and patch Nodes, and nothing else."""
    rendered = render(options=NO_HOOKS)
    (role,) = rendered.all("ClusterRole")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]}]
    assert not rendered.all("Role")
    (binding,) = rendered.all("ClusterRoleBinding")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": RELEASE, "namespace": RELEASE}]


def test_without_annotations_nothing_of_the_cluster() -> None:
    """An agent that does not annotate has no role, no policy, no token, and leaves nothing to prune."""
    rendered = render({"publish.annotations": False})
    assert not rendered.kinds & (CLUSTER_KINDS | {"Job", "Role", "RoleBinding"})
    assert rendered.agent["spec"]["automountServiceAccountToken"] is False
    assert rendered.one("Pod", f"{RELEASE}-test")["spec"]["automountServiceAccountToken"] is False


def test_token_only_where_it_is_used() -> None:
    """The token is mounted by pods that use it, and not by the service account's default."""
    rendered = render({"simulator.enabled": True})
    mounted = {kind: pod["spec"].get("automountServiceAccountToken") for kind, pod in rendered.pods.items()}
    assert mounted == {"DaemonSet": True, "Job": True, "Pod": True, "Deployment": False}
    assert not any(item["automountServiceAccountToken"] for item in rendered.all("ServiceAccount"))


def test_policy_without_a_cluster() -> None:
    """The policy needs no cluster to render, fails closed, denies, and sees all requests about Nodes."""
    policy = render(options=NO_HOOKS).one("ValidatingAdmissionPolicy")["spec"]
    assert policy["failurePolicy"] == "Fail"
    (rule,) = policy["matchConstraints"]["resourceRules"]
    assert (rule["operations"], rule["resources"]) == (["*"], ["nodes", "nodes/*"])
    (condition,) = policy["matchConditions"]
    assert (
        condition["expression"] == f"request.userInfo.username == 'system:serviceaccount:{RELEASE}:{RELEASE}'"
    )
    assert all(validation["message"] for validation in policy["validations"])
    assert render().one("ValidatingAdmissionPolicyBinding")["spec"]["validationActions"] == ["Deny"]


def test_policy_off() -> None:
    """Without the policy none is rendered, for the prune Job neither."""
    assert not {"ValidatingAdmissionPolicy"} & render({"policy.enabled": False}).kinds


def test_old_kubernetes() -> None:
    """A Kubernetes that has no such policies is refused, with the way out; without the policy it renders."""
    options = ["--kube-version", "1.29.3"]
    assert "policy.enabled=false" in refusal({}, options=options)
    render({"policy.enabled": False}, options=options)
    render({"publish.annotations": False}, options=options)


def test_two_namespaces_do_not_meet() -> None:
    """Objects without a namespace have the namespace in their names."""
    here, there = (render(options=["--namespace", namespace]) for namespace in ("a", "b"))
    names = [
        {
            (item["kind"], item["metadata"]["name"])
            for item in rendered.objects
            if item["kind"] in CLUSTER_KINDS
        }
        for rendered in (here, there)
    ]
    assert names[0]
    assert not names[0] & names[1]


def test_service_account_of_ones_own() -> None:
    """A given service account is used everywhere, and not made where it is there already."""
    values: dict[str, Value] = {"serviceAccount.create": False, "serviceAccount.name": "mine"}
    rendered = render(values, options=NO_HOOKS)
    assert not rendered.all("ServiceAccount")
    assert rendered.agent["spec"]["serviceAccountName"] == "mine"
    assert rendered.one("ClusterRoleBinding")["subjects"][0]["name"] == "mine"
    assert ":mine'" in rendered.one("ValidatingAdmissionPolicy")["spec"]["matchConditions"][0]["expression"]


def hooks(values: dict[str, Value]) -> dict[str, list[tuple[str, str]]]:
    """Kinds and delete policies of the hooks of each event."""
    found: dict[str, list[tuple[str, str]]] = {}
    for item in render(values).objects:
        annotations = item["metadata"].get("annotations", {})
        for event in annotations.get("helm.sh/hook", "").split(","):
            found.setdefault(event, []).append(
                (item["kind"], annotations.get("helm.sh/hook-delete-policy", ""))
            )
    return found


def test_prune_exists_only_while_it_runs() -> None:
    """What the prune Job needs is made after the release is gone, and deleted whatever becomes of it."""
    objects = hooks({})["post-delete"]
    kinds = {kind for kind, _ in objects}
    assert kinds >= CLUSTER_KINDS | {"ServiceAccount", "Role", "RoleBinding", "Job"}
    assert {policy for _, policy in objects} == {"before-hook-creation,hook-succeeded,hook-failed"}


def test_prune_waits_for_the_agents() -> None:
    """The Job is told which DaemonSet and pods to wait for, and for how long."""
    arguments = render().one("Job", f"{RELEASE}-prune")["spec"]["template"]["spec"]["containers"][0]["args"]
    selector = ",".join(
        f"app.kubernetes.io/{name}={value}"
        for name, value in (("component", "agent"), ("instance", RELEASE), ("name", RELEASE))
    )
    assert arguments == [
        "prune",
        "--annotation-prefix=azure-lb-metadata.io",
        f"--wait-for-daemonset={RELEASE}/{RELEASE}",
        f"--pod-selector={selector}",
        "--timeout=4m",
    ]
    parsed = prune._parser().parse_args(arguments[1:])
    assert (parsed.annotation_prefix, parsed.pod_selector) == ("azure-lb-metadata.io", selector)


def test_prune_off() -> None:
    """Without pruning there is no Job."""
    assert not render({"prune.onUninstall": False}).all("Job")


def test_record_of_prefixes() -> None:
    """With a previous prefix, a hook before the upgrade records all, which a rollback does not undo."""
    values: dict[str, Value] = {
        "annotations.prefix": "b.example",
        "annotations.previousPrefixes": ["a.example"],
    }
    assert "pre-upgrade" not in hooks({})
    assert [kind for kind, _ in hooks(values)["pre-upgrade"]] == [
        "ConfigMap",
        "ClusterRole",
        "ClusterRoleBinding",
    ]
    record = render(values).all("ConfigMap")[0]
    assert record["data"] == {"a.example": "b.example", "b.example": "a.example"}
    source = render(values).container["env"][-1]
    assert source["name"] == "AZURE_LB_METADATA_PREVIOUS_ANNOTATION_PREFIXES"
    name = record["metadata"]["name"]
    assert source["valueFrom"] == {"configMapKeyRef": {"name": name, "key": "b.example", "optional": True}}
