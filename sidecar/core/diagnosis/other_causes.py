"""The causes that lie with the agent, with Kubernetes, or in what the metadata service has to say."""

from sidecar.core.diagnosis.cause import Cause

__all__ = ["AGENT_CAUSES", "CLOCK_CAUSES", "CLUSTER_CAUSES", "DATA_CAUSES", "SETTING_CAUSES"]

_ERRORS = "MicrosoftDocs/azure-docs articles/load-balancer/troubleshoot-load-balancer-imds.md"
_OUTBOUND = "MicrosoftDocs/azure-docs articles/load-balancer/load-balancer-outbound-connections.md"
_EGRESS = "MicrosoftDocs/azure-aks-docs articles/aks/egress-outboundtype.md"
_TOKENS = "kubernetes/website content/en/docs/reference/access-authn-authz/service-accounts-admin.md"
_POLICY = "kubernetes/website content/en/docs/reference/access-authn-authz/validating-admission-policy.md"
_RBAC = "kubernetes/website content/en/docs/reference/access-authn-authz/rbac.md"
_LOCAL = "kubernetes/website content/en/docs/concepts/services-networking/service-traffic-policy.md"

CLOCK_CAUSES = (
    Cause(
        name="clock-wrong",
        summary="The clock of this machine is wrong.",
        seen="It differs by more than a minute from the `Date` of the API server or the metadata service.",
        remedy=(
            "Set the node's clock and see that it is kept (`timedatectl`, chrony; Azure machines have the "
            "host's clock as /dev/ptp_hyperv). Tokens and certificates are refused under a wrong clock, and "
            "`observed-at` says the wrong time."
        ),
        source="",
    ),
)

AGENT_CAUSES = (
    Cause(
        name="agent-stuck",
        summary="A loop of the agent does not turn any more.",
        seen="`/livez` says that a loop is overdue.",
        remedy="Restart the agent, which kubelet does by itself; please report it with its log.",
        source="",
    ),
    Cause(
        name="agent-of-another-node",
        summary="The agent that answers is that of another node.",
        seen="It names another node than the one this is.",
        remedy=(
            "The Service must have `internalTrafficPolicy: Local`, and no mesh or proxy may carry requests "
            "to another node. See NODE_NAME of the agent, too."
        ),
        source=_LOCAL,
    ),
)

CLUSTER_CAUSES = (
    Cause(
        name="no-cluster-credentials",
        summary="There is no way to the Kubernetes API: neither a service account token nor a kubeconfig.",
        seen="The configuration cannot be found or read.",
        remedy=(
            "In a pod set `automountServiceAccountToken: true`; elsewhere `--kubeconfig` and `--context`. Or "
            "use `--no-annotations`."
        ),
        source=_TOKENS,
    ),
    Cause(
        name="api-server-unreachable",
        summary="The Kubernetes API server cannot be reached.",
        seen="Requests are refused, not answered in time, or fail on TLS.",
        remedy=(
            "See that the API server is up, and that NetworkPolicies, firewalls and authorized IP ranges let "
            "the agent reach it."
        ),
        source="",
    ),
    Cause(
        name="token-refused",
        summary="The Kubernetes API server does not accept the agent's token.",
        seen="401.",
        remedy=(
            "See that the pod and its service account still exist, that the token is of this cluster and not "
            "expired, and that the node's clock is right; then delete the pod."
        ),
        source=_TOKENS,
    ),
    Cause(
        name="node-name-wrong",
        summary="The node's name, as the agent was told it, is not that of its Node.",
        seen="There is no Node of that name; or the pod's token, or the agent, names another one.",
        remedy=(
            "Take `NODE_NAME` from the downward API (`fieldRef: spec.nodeName`), not from the hostname or by "
            "hand. A Node appears only when its kubelet has registered it."
        ),
        source=_TOKENS,
    ),
    Cause(
        name="rbac-missing",
        summary="The agent is not allowed to read or annotate its Node.",
        seen="403, or an access review that says no.",
        remedy=(
            "Let the agent's service account `get` and `patch` `nodes` by a ClusterRole and its "
            "ClusterRoleBinding; the chart makes both (`rbac.create`)."
        ),
        source=_RBAC,
    ),
    Cause(
        name="policy-denies",
        summary="An admission policy or webhook refuses what the agent writes.",
        seen="A dry run of the write is denied, or the agent's last writes were answered with 422.",
        remedy=(
            "The denial names the policy. Ours lets an agent write only under its prefix, to its own Node "
            "and within the budget: see that prefix, budget and service account are the same in the agent "
            "and the policy, and that its token carries the node's name (Kubernetes 1.30 or later). Exempt "
            "the agent from others, such as AKS's policy against editing Nodes."
        ),
        source=_POLICY,
    ),
    Cause(
        name="api-server-failing",
        summary="The Kubernetes API server answers, but is overloaded or in trouble.",
        seen="429 or 5xx, or something that is not of an API server.",
        remedy=(
            "Look at the health of the API server and of the admission webhooks for Nodes, and at its "
            "priority and fairness metrics. The agent keeps trying."
        ),
        source="",
    ),
    Cause(
        name="no-agent",
        summary="No agent runs where one should.",
        seen="Nothing listens on the agent's address, or the node has no pod of the agent.",
        remedy=(
            "See `kubectl get daemonset,pods -o wide` in the agent's namespace. A taint of the node that the "
            "DaemonSet does not tolerate (chart: `tolerations`), a node selector or missing room keep a pod "
            "away; `--listen` or `--upstream` may name another address than the agent's."
        ),
        source="",
    ),
    Cause(
        name="agent-not-ready",
        summary="The agent's pod is there, and not ready.",
        seen="The pod's status, or its `/readyz`.",
        remedy=(
            "See `kubectl describe pod` and the log of the pod; while it says that there is no answer of the "
            "metadata service yet, run doctor in it with `kubectl exec`. While it says that the file is not "
            "written yet, see that the folder of `--file` exists and is writable."
        ),
        source="",
    ),
    Cause(
        name="kubelet-down",
        summary="The node's kubelet does not report.",
        seen="The Node is not Ready.",
        remedy="Bring the node back or replace it. What its annotations say is past.",
        source="",
    ),
    Cause(
        name="two-agents",
        summary="Two agents with one prefix write to the Node, and rewrite each other.",
        seen=(
            "Two DaemonSets have a pod there with the same prefix; or the agent's log has "
            "`annotations-changed` with `by: agent`."
        ),
        remedy=(
            "Give one release another `annotations.prefix`, or other nodes (`nodeSelector`), or uninstall "
            "it: `helm uninstall` leaves the Nodes alone to which the other writes."
        ),
        source="",
    ),
    Cause(
        name="annotations-behind",
        summary="The Node's annotations are not what the agent knows.",
        seen="Another revision, or none, some minutes after the agent had it, and no known cause for it.",
        remedy=(
            "See the agent's log for `publish-failed`. Another writer of the same keys, or an agent with "
            "another `--annotation-prefix`, looks the same."
        ),
        source="",
    ),
    Cause(
        name="annotations-outdated",
        summary="The Node's annotations have not been refreshed for long.",
        seen="`observed-at` is hours old, or the status there is not `ok`.",
        remedy="See that an agent runs on the node, and run doctor there with `kubectl exec`.",
        source="",
    ),
)

DATA_CAUSES = (
    Cause(
        name="no-standard-load-balancer",
        summary="The machine has neither a Standard SKU public IP address nor a Standard SKU load balancer.",
        seen="The metadata service says that it found no load balancer metadata.",
        remedy=(
            "Put the machine into the backend pool of a Standard SKU load balancer, or give it a Standard "
            "SKU public IP address (AKS: `--enable-node-public-ip`), and wait some minutes. Behind a NAT "
            "gateway or a route table alone, having nothing here is right."
        ),
        source=_ERRORS,
    ),
    Cause(
        name="basic-sku-only",
        summary="The machine has Basic SKU public addresses only, which are never listed.",
        seen="No load balancer metadata, though `/metadata/instance` has a public IP address.",
        remedy="Move to the Standard SKU; the Basic load balancer was retired on 2025-09-30.",
        source=_ERRORS,
    ),
    Cause(
        name="nat-gateway-or-route-table",
        summary="The node leaves by a NAT gateway or a route table, which are not listed.",
        seen=(
            "There is neither an outbound rule nor an instance-level public IP address; or connections were "
            "seen to come from an address that is not listed (`--seen-from`)."
        ),
        remedy=(
            "Take the egress addresses from the NAT gateway's public IPs or from the firewall behind the "
            "route table: `az aks show --query networkProfile.outboundType` says which. Do not build "
            "allow-lists from `egress-ips` then. Where that is as intended: `doctor --ignore "
            "nat-gateway-or-route-table`."
        ),
        source=f"{_OUTBOUND}, {_EGRESS}",
    ),
    Cause(
        name="unusable-entries",
        summary="The metadata service lists entries that are wrong and left out.",
        seen="An entry without an address, with a wrong port or protocol.",
        remedy="The other entries are used. Report the entry to this project, and to the vendor.",
        source="",
    ),
    Cause(
        name="annotation-budget",
        summary="Not all annotations fit into the budget.",
        seen="The annotation `omitted`.",
        remedy=(
            "Raise `--annotation-budget` (chart: `annotations.budget`), at a cost for every watcher of "
            "Nodes; set `--annotate=summary`; or read the node's HTTP API, which has everything."
        ),
        source="",
    ),
)

SETTING_CAUSES = (
    Cause(
        name="setting-misspelt",
        summary="An environment variable with the agent's prefix is no setting, and has no effect.",
        seen="Its name is near to that of a setting.",
        remedy="Correct its name; `azure-lb-metadata run --help` lists the settings.",
        source="",
    ),
)
