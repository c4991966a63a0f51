"""What tests of `nodes` speak of: the rights that it needs, a taint, the answers that most nodes have."""

from collections.abc import Callable, Coroutine
from typing import Any

from tests.support.commands import Ended
from tests.support.fleet import document

NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
DAEMON_SETS = {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["list"]}

GPU = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
SHARED = document(inbound=[("20.20.20.20", 443)], outbound=["52.1.1.1"])


Run = Callable[..., Coroutine[Any, Any, Ended]]

GATEWAYS = {
    "apiGroups": ["egressgateway.kubernetes.azure.com"],
    "resources": ["staticgatewayconfigurations"],
    "verbs": ["list"],
}
