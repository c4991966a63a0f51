"""The causes that lie between the agent and the metadata service, or in that service."""

from sidecar.core.diagnosis.cause import Cause

__all__ = ["SERVICE_CAUSES"]

_IMDS = "MicrosoftDocs/azure-compute-docs articles/virtual-machines/instance-metadata-service.md"
_ERRORS = "MicrosoftDocs/azure-docs articles/load-balancer/troubleshoot-load-balancer-imds.md"
_HOWTO = "MicrosoftDocs/azure-docs articles/load-balancer/howto-load-balancer-imds.md"
_RESTRICTION = "MicrosoftDocs/azure-aks-docs articles/aks/imds-restriction.md"
_GUEST_PROXY = "Azure/GuestProxyAgent proxy_agent/src/proxy/proxy_server.rs"

SERVICE_CAUSES = (
    Cause(
        name="proxy-in-the-way",
        summary="A proxy, a service mesh or another program answers in place of the metadata service.",
        seen=(
            "The answer has a header that only proxies set (`Via`, `X-Cache`, `X-Squid-Error`, `X-Envoy-…`), "
            "the name of a proxy as `Server`, a text of Envoy, of AAD Pod Identity's NMI or of another "
            "program, the status 407, a redirect or an HTML page; or a request without `Metadata: true` is "
            "answered with data, which the service itself never does. Each counts before the status."
        ),
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
        summary="The Guest Proxy Agent of the Metadata Security Protocol does not let the agent ask.",
        seen=(
            "401, 403 or 421, none of which the service documents, mostly with an empty body; what the Guest "
            "Proxy Agent lets through has the header `x-ms-azure-host-authorization`."
        ),
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
        remedy=(
            "Remove the setting (`--imds-endpoint`, `AZURE_LB_METADATA_IMDS_ENDPOINT`, in the chart "
            "`imds.endpoint`), whose default is `http://169.254.169.254`; `run --print-settings` tells where "
            "a value comes from."
        ),
        source=_HOWTO,
    ),
    Cause(
        name="metadata-service-unreachable",
        summary="No connection to the metadata service can be made from this machine.",
        seen="The connection is refused, reset or dropped, or there is no route to the address.",
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
        remedy="The agent sends GET only: something on the way changes the method. Take it out of the way.",
        source=_ERRORS,
    ),
    Cause(
        name="api-not-found",
        summary="The metadata service does not know the path of the load balancer data.",
        seen="404 with the text `API is not found`, or `Not found`.",
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
        remedy="Wait: it takes 70 seconds, rarely some minutes. The agent keeps what it had.",
        source=_IMDS,
    ),
    Cause(
        name="throttled",
        summary="The machine asks the metadata service more often than it answers.",
        seen="429, now or in several of the agent's last ten attempts; the evidence says how many.",
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
        remedy=(
            "See the answer with `doctor --direct --bundle`. If it is not from a proxy, open a support "
            "request with it; and report it to this project if other clients do understand it."
        ),
        source=_HOWTO,
    ),
)
