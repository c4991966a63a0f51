"""Enough of ``/metadata/instance`` for other clients and for cross-checks.

Keys and texts: MicrosoftDocs/azure-compute-docs:articles/virtual-machines/instance-metadata-service.md.
A public IP of Standard SKU is an empty text here: that note in
MicrosoftDocs/azure-docs:articles/virtual-machines/instance-metadata-service.md, microsoft/azureimds#25.
"""

import hashlib
import ipaddress
import uuid

from pydantic import JsonValue

from sidecar.simulator import answers
from sidecar.simulator.addressing import private_addresses
from sidecar.simulator.answers import Reply
from sidecar.simulator.conditions import InstanceSettings

RESTRICTION_TAG = "aks-managed-enable-imds-restriction"
"""Tag that says whether AKS keeps pods from the service (Azure/AgentBaker)."""

_PREFIX = "/metadata/instance"


def instance(settings: InstanceSettings, caller: str, document: JsonValue) -> dict[str, JsonValue]:
    """The whole instance document of a caller; its NICs have the private addresses of ``document``."""
    return {"compute": _compute(settings, caller), "network": _network(settings, caller, document)}


def _compute(settings: InstanceSettings, caller: str) -> dict[str, JsonValue]:
    number = int(ipaddress.ip_address(caller)) % 36**6
    name = settings.name or f"{settings.scale_set or 'vm'}{_base36(number):0>6}"
    tags = dict(settings.tags)
    if settings.imds_restriction is not None:
        tags[RESTRICTION_TAG] = str(settings.imds_restriction).lower()
    return {
        "azEnvironment": "AzurePublicCloud",
        "location": settings.location,
        "name": name,
        "osType": "Linux",
        "resourceGroupName": settings.resource_group,
        "resourceId": _resource_id(settings, name, number),
        "subscriptionId": settings.subscription,
        "tags": ";".join(f"{key}:{value}" for key, value in tags.items()),
        "tagsList": [{"name": key, "value": value} for key, value in tags.items()],
        "vmId": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "vmScaleSetName": settings.scale_set,
        "vmSize": "Standard_D4s_v5",
        "zone": "",
    }


def _resource_id(settings: InstanceSettings, name: str, number: int) -> str:
    group = f"/subscriptions/{settings.subscription}/resourceGroups/{settings.resource_group}"
    provider = f"{group}/providers/Microsoft.Compute"
    if settings.scale_set:
        return f"{provider}/virtualMachineScaleSets/{settings.scale_set}/virtualMachines/{number}"
    return f"{provider}/virtualMachines/{name}"


def _network(settings: InstanceSettings, caller: str, document: JsonValue) -> dict[str, JsonValue]:
    found = private_addresses(document) or [caller]
    v4 = [address for address in found if ":" not in address]
    v6 = [address for address in found if ":" in address]
    interfaces: list[JsonValue] = [
        _interface(address, v6 if number == 0 else [], settings.public_ip if number == 0 else "")
        for number, address in enumerate(v4 or [""])
    ]
    return {"interface": interfaces}


def _interface(v4: str, v6: list[str], public_ip: str) -> JsonValue:
    mac = hashlib.sha256(v4.encode()).hexdigest()[:6].upper()
    return {
        "ipv4": {
            "ipAddress": [{"privateIpAddress": v4, "publicIpAddress": public_ip}] if v4 else [],
            "subnet": [{"address": f"{v4.rpartition('.')[0]}.0", "prefix": "24"}] if v4 else [],
        },
        "ipv6": {"ipAddress": [{"privateIpAddress": address} for address in v6]},
        "macAddress": f"000D3A{mac}",
    }


def walk(document: JsonValue, path: str, *, as_text: bool) -> Reply:
    """The part of the instance document under a path of keys and indexes.

    A leaf needs ``format=text``: the page says so in its note, its table says the contrary. As text,
    an object is the list of its keys, those with something below them with a slash at the end.
    """
    node = document
    for segment in path.removeprefix(_PREFIX).strip("/").split("/") if path != _PREFIX else ():
        if isinstance(node, dict) and segment in node:
            node = node[segment]
        elif isinstance(node, list) and segment.isdecimal() and int(segment) < len(node):
            node = node[int(segment)]
        elif segment:
            return answers.error(404, "Not found")
    if not as_text:
        return _as_json(node)
    return answers.text(_as_text(node))


def _as_json(node: JsonValue) -> Reply:
    if isinstance(node, dict | list):
        return answers.success(node)
    return answers.error(400, "Bad request. Requested API is only available in text format")


def _as_text(node: JsonValue) -> str:
    if isinstance(node, list):
        return "\n".join(f"{index}/" for index in range(len(node)))
    if isinstance(node, dict):
        return "\n".join(f"{key}/" if isinstance(value, dict | list) else key for key, value in node.items())
    return str(node)


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text or "0"
