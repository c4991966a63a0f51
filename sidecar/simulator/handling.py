"""The right reply to a request: header rules, parameters, paths, then the document.

Refusals follow the documents named in ``answers``; the order in which the service checks is a guess.

Keys and texts of ``/metadata/instance``:
MicrosoftDocs/azure-compute-docs:articles/virtual-machines/instance-metadata-service.md. A public IP of
Standard SKU is an empty text there: the note in
MicrosoftDocs/azure-docs:articles/virtual-machines/instance-metadata-service.md, microsoft/azureimds#25.
"""

import hashlib
import ipaddress
import uuid
from collections import Counter

from pydantic import JsonValue

from sidecar.simulator import answers
from sidecar.simulator.addressing import private_addresses
from sidecar.simulator.answers import Reply, encode, error, fill
from sidecar.simulator.conditions import LOADBALANCER_SINCE, Behaviour, InstanceSettings
from sidecar.simulator.simulation import LOADBALANCER, Call, Simulation

INSTANCE = "/metadata/instance"
VERSIONS = "/metadata/versions"

RESTRICTION_TAG = "aks-managed-enable-imds-restriction"
"""Tag that says whether AKS keeps pods from the service (Azure/AgentBaker)."""


def right_answer(simulation: Simulation, call: Call) -> Reply:
    """The reply of the service to a request that no fault strikes."""
    known = any(call.path == path or call.path.startswith(f"{path}/") for path in _KNOWN)
    if call.method == "HEAD" or (call.method == "PUT" and not known):
        # Captured on AKS nodes: HEAD for / and /metadata/... alike, PUT for a path of another cloud. Other
        # verbs than GET are 405 by the page of the load balancer endpoint.
        return answers.xml_error(call.method)
    # A proxy or a browser may have sent it. That such requests are rejected is documented; the reply to
    # X-Forwarded-For is a guess.
    if call.header("X-Forwarded-For") is not None:
        return error(400, "Bad request. X-Forwarded-For header is not allowed")
    if call.path != VERSIONS and (call.header("Metadata") or "").strip().lower() != "true":
        return Reply(status=400, body=answers.NO_METADATA_HEADER_BODY)
    if not simulation.allowed(call.caller):
        return error(429, answers.TOO_MANY_REQUESTS)
    if not known:
        return error(404, "Not found")
    names = {"UrlPath": call.path, "Method": call.method}
    if call.method != "GET":
        return error(405, fill(answers.METHOD_NOT_ALLOWED, **names))
    if call.path == VERSIONS:
        return answers.success({"apiVersions": [*sorted(simulation.conditions.versions)]})
    if call.path.startswith((f"{LOADBALANCER}/", f"{VERSIONS}/")):
        return error(404, fill(answers.API_NOT_FOUND, **names))
    refusal = _refused_parameters(simulation.conditions, call)
    if refusal is None and call.path == LOADBALANCER:
        # ``format=text`` changes nothing, as clients that send it and read JSON show.
        body = simulation.document_body(call.caller)
        return error(404, answers.NO_METADATA) if body is None else Reply(status=200, body=body)
    return refusal or _instance(simulation, call)


_KNOWN = (LOADBALANCER, INSTANCE, VERSIONS)
"""Paths of the service, each with all paths below it."""


def _refused_parameters(conditions: Behaviour, call: Call) -> Reply | None:
    if any(count > 1 for count in Counter(name for name, _ in call.parameters).values()):
        return error(400, answers.UNEXPECTED_REQUEST)
    parameters = dict(call.parameters)
    version = parameters.get("api-version", "")
    since = LOADBALANCER_SINCE if call.path == LOADBALANCER else ""
    if version not in conditions.versions or version < since:
        if conditions.version_error == "missing-parameter" and call.path == LOADBALANCER:
            template = answers.PARAMETER_NOT_ALLOWED if version else answers.MISSING_PARAMETER
            return error(400, fill(template, ParameterName="api-version", ParameterValue=version))
        newest = sorted(conditions.versions, reverse=True)[:3]
        body = encode({"error": answers.VERSION_REJECTED, "newest-versions": [*newest]})
        return Reply(status=400, body=body)
    form = parameters.get("format", "json")
    if form not in ("json", "text"):
        message = fill(answers.PARAMETER_NOT_ALLOWED, ParameterValue=form, ParameterName="format")
        return error(400, message)
    return None


def _instance(simulation: Simulation, call: Call) -> Reply:
    """The part of the instance document under a path of keys and indexes.

    A leaf needs ``format=text``: the page says so in its note, its table says the contrary. As text,
    an object is the list of its keys, those with something below them with a slash at the end.
    """
    settings, document = simulation.conditions.instance, simulation.document(call.caller)
    node: JsonValue = instance(settings, call.caller, document)
    for segment in call.path.removeprefix(INSTANCE).strip("/").split("/"):
        if isinstance(node, dict) and segment in node:
            node = node[segment]
        elif isinstance(node, list) and segment.isdecimal() and int(segment) < len(node):
            node = node[int(segment)]
        elif segment:
            return error(404, "Not found")
    if ("format", "text") not in call.parameters:
        if isinstance(node, dict | list):
            return answers.success(node)
        return error(400, "Bad request. Requested API is only available in text format")
    if isinstance(node, list):
        return answers.text("\n".join(f"{index}/" for index in range(len(node))))
    if isinstance(node, dict):
        return answers.text(
            "\n".join(f"{key}/" if isinstance(value, dict | list) else key for key, value in node.items())
        )
    return answers.text(str(node))


def instance(settings: InstanceSettings, caller: str, document: JsonValue) -> dict[str, JsonValue]:
    """The whole instance document of a caller: enough for other clients and for cross-checks.

    Its network interfaces have the private addresses of ``document``, the load balancer's.
    """
    number = int(ipaddress.ip_address(caller)) % 36**6
    name = settings.name or f"{settings.scale_set or 'vm'}{_base36(number):0>6}"
    resource = (
        f"/subscriptions/{settings.subscription}/resourceGroups/{settings.resource_group}"
        "/providers/Microsoft.Compute"
    )
    if settings.scale_set:
        resource += f"/virtualMachineScaleSets/{settings.scale_set}/virtualMachines/{number}"
    else:
        resource += f"/virtualMachines/{name}"
    tags = dict(settings.tags)
    if settings.imds_restriction is not None:
        tags[RESTRICTION_TAG] = str(settings.imds_restriction).lower()

    interfaces: list[JsonValue] = []
    found = private_addresses(document) or [caller]
    v6 = [address for address in found if ":" in address]
    # Without an IPv4 address there is one interface, and the digest of nothing in its MAC address.
    for index, v4 in enumerate([address for address in found if ":" not in address] or [""]):
        public_ip = settings.public_ip if index == 0 else ""
        mac = hashlib.sha256(v4.encode()).hexdigest()[:6].upper()
        interfaces.append(
            {
                "ipv4": {
                    "ipAddress": [{"privateIpAddress": v4, "publicIpAddress": public_ip}] if v4 else [],
                    "subnet": [{"address": f"{v4.rpartition('.')[0]}.0", "prefix": "24"}] if v4 else [],
                },
                "ipv6": {"ipAddress": [{"privateIpAddress": other} for other in v6] if index == 0 else []},
                "macAddress": f"000D3A{mac}",
            }
        )
    return {
        "compute": {
            "azEnvironment": "AzurePublicCloud",
            "location": settings.location,
            "name": name,
            "osType": "Linux",
            "resourceGroupName": settings.resource_group,
            "resourceId": resource,
            "subscriptionId": settings.subscription,
            "tags": ";".join(f"{key}:{value}" for key, value in tags.items()),
            "tagsList": [{"name": key, "value": value} for key, value in tags.items()],
            "vmId": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
            "vmScaleSetName": settings.scale_set,
            "vmSize": "Standard_D4s_v5",
            "zone": "",
        },
        "network": {"interface": interfaces},
    }


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text or "0"
