"""The known causes, as data: what each is seen by, how well that proves it, and what to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Confidence(StrEnum):
    """How well the evidence proves a cause, the best first."""

    CERTAIN = "certain"
    """It was reported as such, or nothing else looks like it."""
    LIKELY = "likely"
    """It is what usually looks like this."""
    POSSIBLE = "possible"
    """It is one of several that look like this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One known cause. Its name is a contract: scripts and runbooks refer to it."""

    name: str
    """Words joined by hyphens; also the anchor of its section in ``docs/doctor.md``."""
    summary: str
    """What is wrong, as a sentence."""
    seen: str
    """The evidence that points to it."""
    confidence: Confidence
    """How well that usually proves it; a rule may know better."""
    remedy: str
    """What to do about it."""
    source: str
    """The document or repository that the facts are from; empty where they are this project's own."""

    @property
    def link(self) -> str:
        """Where it is explained, from the root of the repository."""
        return f"docs/doctor.md#{self.name}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A cause that applies."""

    cause: Cause
    confidence: Confidence
    evidence: Sequence[str]
    """Sentences about what was found that points to it; at least one."""


_IMDS = "MicrosoftDocs/azure-compute-docs articles/virtual-machines/instance-metadata-service.md"
_ERRORS = "MicrosoftDocs/azure-docs articles/load-balancer/troubleshoot-load-balancer-imds.md"
_HOWTO = "MicrosoftDocs/azure-docs articles/load-balancer/howto-load-balancer-imds.md"
_RESTRICTION = "MicrosoftDocs/azure-aks-docs articles/aks/imds-restriction.md"
_GUEST_PROXY = "Azure/GuestProxyAgent proxy_agent/src/proxy/proxy_server.rs"
_OUTBOUND = "MicrosoftDocs/azure-docs articles/load-balancer/load-balancer-outbound-connections.md"
_EGRESS = "MicrosoftDocs/azure-aks-docs articles/aks/egress-outboundtype.md"
_TOKENS = "kubernetes/website content/en/docs/reference/access-authn-authz/service-accounts-admin.md"
_POLICY = "kubernetes/website content/en/docs/reference/access-authn-authz/validating-admission-policy.md"
_RBAC = "kubernetes/website content/en/docs/reference/access-authn-authz/rbac.md"
_NETWORK_POLICY = "kubernetes/website content/en/docs/concepts/services-networking/network-policies.md"
_LOCAL = "kubernetes/website content/en/docs/concepts/services-networking/service-traffic-policy.md"

_TABLE = (
    Cause(
        name="clock-wrong",
        summary="The clock of this machine is wrong.",
        seen="It differs by more than a minute from the `Date` of the API server or the metadata service.",
        confidence=Confidence.LIKELY,
        remedy=(
            "Set the node's clock and see that it is kept (`timedatectl`, chrony; Azure machines have the "
            "host's clock as /dev/ptp_hyperv). Tokens and certificates are refused under a wrong clock, and "
            "`observed-at` says the wrong time."
        ),
        source="",
    ),
    Cause(
        name="agent-stuck",
        summary="A loop of the agent does not turn any more.",
        seen="`/livez` says that a loop is overdue, or its port accepts connections and nothing answers.",
        confidence=Confidence.CERTAIN,
        remedy="Restart the agent, which kubelet does by itself; please report it with its log.",
        source="",
    ),
    Cause(
        name="agent-of-another-node",
        summary="The agent that answers is that of another node.",
        seen="It names another node than the one this is.",
        confidence=Confidence.CERTAIN,
        remedy=(
            "The Service must have `internalTrafficPolicy: Local`, and no mesh or proxy may carry requests "
            "to another node. See NODE_NAME of the agent, too."
        ),
        source=_LOCAL,
    ),
    Cause(
        name="proxy-in-the-way",
        summary="A proxy, a service mesh or another program answers in place of the metadata service.",
        seen=(
            "The answer has a header that only proxies set (`Via`, `X-Cache`, `X-Squid-Error`, `X-Envoy-…`), "
            "the name of a proxy as `Server`, a text of Envoy, of AAD Pod Identity's NMI or of another "
            "program, the status 407, a redirect or an HTML page; or a request without `Metadata: true` is "
            "answered with data, which the service itself never does. Each counts before the status."
        ),
        confidence=Confidence.CERTAIN,
        remedy=(
            "Let requests to 169.254.169.254 leave the node directly: take the address out of the "
            "transparent proxy, and out of the mesh's sidecar (Istio: "
            "`traffic.sidecar.istio.io/excludeOutboundIPRanges: 169.254.169.254/32`). The service refuses "
            "what a proxy forwards. The agent itself ignores HTTP_PROXY; other clients need it in NO_PROXY. "
            "AAD Pod Identity's NMI takes over the address on every node: let the agent's pod pass with an "
            "`AzurePodIdentityException`, run it with `hostNetwork: true`, or replace AAD Pod Identity."
        ),
        source=_IMDS,
    ),
    Cause(
        name="metadata-security-protocol",
        summary="The Guest Proxy Agent of the Metadata Security Protocol blocks the agent's requests.",
        seen=(
            "401, 403 or 421, none of which the service documents, mostly with an empty body; what the Guest "
            "Proxy Agent lets through has the header `x-ms-azure-host-authorization`."
        ),
        confidence=Confidence.LIKELY,
        remedy=(
            "Allow `/metadata/loadbalancer` for the agent's process and user in the access control profile "
            "of the machine's `proxyAgentSettings` (`inVMAccessControlProfiles`), or set the mode for IMDS "
            "from Enforce to Audit. The log of the Guest Proxy Agent on the node names what it blocked."
        ),
        source=_GUEST_PROXY,
    ),
    Cause(
        name="imds-restriction",
        summary="AKS keeps pods from the metadata service (IMDS restriction).",
        seen=(
            "Connections to the service are dropped without an answer, and this is a pod outside the node's "
            "network. A NetworkPolicy or a firewall that drops packets looks the same."
        ),
        confidence=Confidence.LIKELY,
        remedy=(
            "Install the chart with `hostNetwork: true`: the restriction does not apply there. Or switch it "
            "off with `az aks update --disable-imds-restriction` and reimage the nodes with "
            "`az aks upgrade --node-image-only`. `az aks show --query networkProfile.podLinkLocalAccess` "
            "says whether it is on: `None` is on. If it is off, look for a NetworkPolicy."
        ),
        source=_RESTRICTION,
    ),
    Cause(
        name="wrong-endpoint",
        summary="`--imds-endpoint` does not lead to the metadata service.",
        seen=(
            "It is not the well-known address, and nobody answers there, its name is unknown, or what "
            "answers does not speak as the metadata service does."
        ),
        confidence=Confidence.LIKELY,
        remedy=(
            "Remove the setting (`--imds-endpoint`, `AZURE_LB_METADATA_IMDS_ENDPOINT`, in the chart "
            "`imds.endpoint`), whose default is `http://169.254.169.254`; `run --print-settings` shows where "
            "a value comes from."
        ),
        source=_HOWTO,
    ),
    Cause(
        name="metadata-service-unreachable",
        summary="No connection to the metadata service can be made from this machine.",
        seen="The connection is refused, reset or dropped, or there is no route to the address.",
        confidence=Confidence.CERTAIN,
        remedy=(
            "See that this is an Azure virtual machine, that its firewall and route table leave "
            "169.254.169.254/32 alone, and that requests leave from the primary address of its primary "
            "network interface, configured by DHCP: no other source is answered."
        ),
        source=_IMDS,
    ),
    Cause(
        name="metadata-service-silent",
        summary="Something accepts connections for the metadata service and never answers.",
        seen="A connection is made, and there is no complete answer within the time-out.",
        confidence=Confidence.LIKELY,
        remedy=(
            "Look for what takes the connection: a mesh's sidecar, a transparent proxy, a security agent; "
            "ask from the node's own network for comparison. If it is silent there too, collect a bundle "
            "with `doctor --bundle` and open a support request."
        ),
        source=_IMDS,
    ),
    Cause(
        name="metadata-service-slow",
        summary="The metadata service answers later than the agent waits.",
        seen="An answer took longer than `--imds-timeout`.",
        confidence=Confidence.CERTAIN,
        remedy=(
            "Raise `--imds-timeout` (chart: `imds.timeout`), at most 15s. Look for others on the node that "
            "ask the service often: it serves the whole machine."
        ),
        source=_IMDS,
    ),
    Cause(
        name="metadata-header-missing",
        summary="The header `Metadata: true` gets lost on the way to the metadata service.",
        seen="400 with a text about a missing metadata header, though it was sent.",
        confidence=Confidence.CERTAIN,
        remedy=(
            "Something between rewrites requests, most likely a proxy or a mesh: let requests to "
            "169.254.169.254 leave the node directly."
        ),
        source=_IMDS,
    ),
    Cause(
        name="api-version-refused",
        summary="The metadata service of this host does not know the api-version.",
        seen=(
            "400 with a text about `api-version`, or a list of the newest versions; in some clouds 404 with "
            "`Invalid version requested`."
        ),
        confidence=Confidence.CERTAIN,
        remedy=(
            "See what `/metadata/versions` lists: agent and `doctor` ask it by themselves, and take the "
            "newest version that they know. Set `--imds-api-version` (chart: `imds.apiVersion`) to one "
            "that works by hand. Where none from 2020-10-01 on is listed, there are no load balancer data."
        ),
        source=_IMDS,
    ),
    Cause(
        name="request-refused",
        summary="The metadata service finds fault with the request's parameters.",
        seen=(
            "400: a required parameter is missing, a value is not allowed, or the request is unexpected; "
            "also 400 of any other kind."
        ),
        confidence=Confidence.CERTAIN,
        remedy=(
            "Ask `GET /metadata/loadbalancer?api-version=2020-10-01&format=json` by hand; if that is "
            "answered, see `--imds-endpoint` and `--imds-api-version`, and what rewrites the request."
        ),
        source=_ERRORS,
    ),
    Cause(
        name="request-too-long",
        summary="The metadata service says that a part of the request is too long.",
        seen=(
            "400 that names MaxBodyLength, MaxParameterKeyLength, MaxParameterValueLength or "
            "MaxHeaderValueLength."
        ),
        confidence=Confidence.CERTAIN,
        remedy=(
            "The agent's requests are short: something on the way adds headers or parameters, most likely a "
            "proxy or a mesh. Let requests to 169.254.169.254 leave the node directly."
        ),
        source=_ERRORS,
    ),
    Cause(
        name="method-not-allowed",
        summary="The metadata service does not get a GET.",
        seen="405.",
        confidence=Confidence.CERTAIN,
        remedy="The agent sends GET only: something on the way changes the method. Take it out of the way.",
        source=_ERRORS,
    ),
    Cause(
        name="api-not-found",
        summary="The metadata service does not know the path of the load balancer data.",
        seen="404 with the text `API is not found`, or `Not found`.",
        confidence=Confidence.CERTAIN,
        remedy=(
            "See that nothing rewrites the path `/metadata/loadbalancer`. A cloud or an emulator without "
            "that category (Azure Stack, Arc, Container Instances) has no load balancer data to give."
        ),
        source=_ERRORS,
    ),
    Cause(
        name="load-balancer-api-not-ready",
        summary="The load balancer data of this machine are still being provisioned.",
        seen="404 with the text that the API is not available right now, or not currently available.",
        confidence=Confidence.CERTAIN,
        remedy=(
            "Wait: the agent keeps asking. If it lasts longer than an hour, collect a bundle with "
            "`doctor --bundle` and open a support request."
        ),
        source=_ERRORS,
    ),
    Cause(
        name="host-update",
        summary="The metadata service is away for an update of the host.",
        seen="410.",
        confidence=Confidence.CERTAIN,
        remedy="Wait: it takes 70 seconds, rarely some minutes. The agent keeps what it had.",
        source=_IMDS,
    ),
    Cause(
        name="throttled",
        summary="The machine asks the metadata service more often than it answers.",
        seen="429, now or in several of the agent's last ten attempts; the evidence says how many.",
        confidence=Confidence.CERTAIN,
        remedy=(
            "The limit of 5 requests a second is shared by everything on the machine: find who asks so often "
            "(the agent asks once in 10 s) and let it ask the agent's HTTP API. Raising `--poll-interval` "
            "helps little."
        ),
        source=_IMDS,
    ),
    Cause(
        name="metadata-service-unavailable",
        summary="The metadata service is in trouble.",
        seen=(
            "408, 500, 502, 503 or 504 without a sign of another program; certain where the service's own "
            "name or text comes with it."
        ),
        confidence=Confidence.CERTAIN,
        remedy=(
            "Wait: the agent keeps asking and keeps what it had. If it lasts longer than an hour, collect a "
            "bundle with `doctor --bundle` and open a support request."
        ),
        source=_ERRORS,
    ),
    Cause(
        name="answer-malformed",
        summary="The answer of the metadata service is not the document it should be.",
        seen="200 with a body that is empty, cut short, too large, not JSON, or of another shape.",
        confidence=Confidence.CERTAIN,
        remedy=(
            "See the answer with `doctor --direct --bundle`. If it is not from a proxy, open a support "
            "request with it; and report it to this project if other clients do understand it."
        ),
        source=_HOWTO,
    ),
    Cause(
        name="no-cluster-credentials",
        summary="There is no way to the Kubernetes API: neither a service account token nor a kubeconfig.",
        seen="The configuration cannot be found or read.",
        confidence=Confidence.CERTAIN,
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
        confidence=Confidence.CERTAIN,
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
        confidence=Confidence.CERTAIN,
        remedy=(
            "See that the pod and its service account still exist, that the token is of this cluster and not "
            "expired, and that the node's clock is right; then delete the pod."
        ),
        source=_TOKENS,
    ),
    Cause(
        name="node-name-wrong",
        summary="The node's name, as it was given to the agent, is not that of its Node.",
        seen="There is no Node of that name; or the pod's token, or the agent, names another one.",
        confidence=Confidence.CERTAIN,
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
        confidence=Confidence.CERTAIN,
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
        confidence=Confidence.CERTAIN,
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
        confidence=Confidence.CERTAIN,
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
        confidence=Confidence.CERTAIN,
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
        confidence=Confidence.CERTAIN,
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
        confidence=Confidence.CERTAIN,
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
        confidence=Confidence.CERTAIN,
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
        confidence=Confidence.CERTAIN,
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
        confidence=Confidence.CERTAIN,
        remedy="See that an agent runs on the node, and run doctor there with `kubectl exec`.",
        source="",
    ),
    Cause(
        name="no-standard-load-balancer",
        summary="The machine has neither a Standard SKU public IP address nor a Standard SKU load balancer.",
        seen="The metadata service says that it found no load balancer metadata.",
        confidence=Confidence.CERTAIN,
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
        confidence=Confidence.CERTAIN,
        remedy="Move to the Standard SKU; the Basic load balancer was retired on 2025-09-30.",
        source=_ERRORS,
    ),
    Cause(
        name="nat-gateway-or-route-table",
        summary="The node leaves by a NAT gateway or a route table, which are not listed.",
        seen=(
            "There is neither an outbound rule nor an instance-level public IP address; or connections were "
            "seen to come from an address that is neither declared nor of the load balancer, by an egress "
            "probe of the agent or by others (`--seen-from`), which is certain."
        ),
        confidence=Confidence.LIKELY,
        remedy=(
            "Take the egress addresses from the NAT gateway's public IPs or from the firewall behind the "
            "route table: `az aks show --query networkProfile.outboundType` says which. Declare them "
            "(`--egress-declared`, chart: `egress.declared`), and `egress-ips` and `nodes --egress` list "
            "them; until then build no allow-lists from `egress-ips`. Where that is as intended: `doctor "
            "--ignore nat-gateway-or-route-table`."
        ),
        source=f"{_OUTBOUND}, {_EGRESS}",
    ),
    Cause(
        name="egress-unlisted",
        summary="Connections leave from an address that is not on the list.",
        seen=(
            "An egress probe saw an address outside what is declared for its family; or it saw a frontend "
            "of the load balancer that no outbound rule names."
        ),
        confidence=Confidence.CERTAIN,
        remedy=(
            "Partners that allow what is published refuse this node. Add the address to "
            "`--egress-declared` (chart: `egress.declared`) if it is yours, after asking the NAT gateway or "
            "the firewall which others it has, and tell the partners. An address that has been given up "
            "stays observed for `--egress-probe-keep` (24h)."
        ),
        source=_OUTBOUND,
    ),
    Cause(
        name="egress-probes-blocked",
        summary="No egress probe can be reached from this node.",
        seen="Connections to probes on several hosts are dropped or have no route; none brought an address.",
        confidence=Confidence.LIKELY,
        remedy=(
            "See that the NetworkPolicy of the agent's namespace lets it reach the hosts and ports of the "
            "probes and DNS (the chart's does for `egress.probes`), and that security groups, the firewall "
            "and the route table do. If other pods of the node reach nothing either, it has lost its way "
            "out: look at the outbound rules, the NAT gateway, the firewall."
        ),
        source=_NETWORK_POLICY,
    ),
    Cause(
        name="egress-probe-udp-blocked",
        summary="UDP to egress probes is blocked.",
        seen="STUN over UDP is not answered, while probes over TCP or HTTPS are, over the same family.",
        confidence=Confidence.LIKELY,
        remedy=(
            "Let UDP to the probe's port (3478) pass in NetworkPolicies, security groups and the firewall, "
            "and see that the STUN server listens on UDP; or take the `stun:` URL out of "
            "`--egress-probe` (chart: `egress.probes`). Applications that need UDP, such as media and games, "
            "meet the same."
        ),
        source=_NETWORK_POLICY,
    ),
    Cause(
        name="egress-probe-unknown-name",
        summary="The name of an egress probe has no address.",
        seen="The resolver says that there is no such name, or does not answer.",
        confidence=Confidence.CERTAIN,
        remedy=(
            "Correct the name in `--egress-probe` (chart: `egress.probes`). If it is right, see that the "
            "agent's pod may ask DNS: a NetworkPolicy must let it reach port 53 of kube-dns."
        ),
        source=_NETWORK_POLICY,
    ),
    Cause(
        name="egress-probe-certificate",
        summary="The certificate of an egress probe is not accepted.",
        seen="An `https:` probe's certificate is of an unknown authority, outdated, or another host's.",
        confidence=Confidence.CERTAIN,
        remedy=(
            "Give the agent the authority's certificate (`--egress-probe-ca`, chart: `egress.ca`), renew the "
            "probe's certificate, or write the name that it is for. A firewall that opens TLS puts its own "
            "certificate there: exempt the probe from that."
        ),
        source="",
    ),
    Cause(
        name="egress-probe-inside",
        summary="An egress probe is on this side of the address translation, and shows nothing.",
        seen="It saw connections come from a private address, or from the node's own.",
        confidence=Confidence.CERTAIN,
        remedy=(
            "Name a probe beyond the NAT gateway or firewall (`--egress-probe`, chart: `egress.probes`), by "
            "its public address: one in the same or a peered network is reached without translation, and so "
            "is one whose name a private DNS zone resolves."
        ),
        source=_OUTBOUND,
    ),
    Cause(
        name="egress-probe-unanswered",
        summary="An egress probe does not answer as it should.",
        seen=(
            "It is refused, dropped, answers with an error, or with something that holds no address; and "
            "none of the causes before this one explains it."
        ),
        confidence=Confidence.CERTAIN,
        remedy=(
            "See that the probe's server runs and what it says, and that its host, port and path in "
            "`--egress-probe` (chart: `egress.probes`) are right. With a second probe on another host it is "
            "seen whether the probe is away or the way out is. What was observed before is kept."
        ),
        source="",
    ),
    Cause(
        name="unusable-entries",
        summary="The metadata service lists entries that are wrong and left out.",
        seen="An entry without an address, with a wrong port or protocol.",
        confidence=Confidence.CERTAIN,
        remedy="The other entries are used. Report the entry to this project, and to the vendor.",
        source="",
    ),
    Cause(
        name="annotation-budget",
        summary="Not all annotations fit into the budget.",
        seen="The annotation `omitted`.",
        confidence=Confidence.CERTAIN,
        remedy=(
            "Raise `--annotation-budget` (chart: `annotations.budget`), at a cost for every watcher of "
            "Nodes; set `--annotate=summary`; or read the node's HTTP API, which has everything."
        ),
        source="",
    ),
    Cause(
        name="setting-misspelt",
        summary="An environment variable with the agent's prefix is no setting, and has no effect.",
        seen="Its name is near to that of a setting.",
        confidence=Confidence.CERTAIN,
        remedy="Correct its name; `azure-lb-metadata run --help` lists the settings.",
        source="",
    ),
)
"""What explains others stands before them: a wrong clock before the token it makes invalid."""


CAUSES: Mapping[str, Cause] = MappingProxyType({cause.name: cause for cause in _TABLE})
"""By name, in the order of the table."""


def found(name: str, *evidence: str, confidence: Confidence | None = None) -> Diagnosis:
    """A diagnosis by the name of its cause.

    Args:
        name: Of the cause.
        evidence: Sentences; empty ones are left out.
        confidence: Where it is not the usual one of the cause.
    """
    cause = CAUSES[name]
    return Diagnosis(cause, confidence or cause.confidence, tuple(filter(None, evidence)))
