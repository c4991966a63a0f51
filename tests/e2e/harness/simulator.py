"""The metadata service of the cluster: one simulator, which answers every node by its address.

Pods appear to it under their node's address, as on Azure. What it says is changed through its
control listener, which is reachable on the machine's loopback alone.
"""

import contextlib
import http.client
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.e2e.harness.door import Door
from tests.e2e.harness.layout import CHECKOUT, IMDS_ADDRESS, IMDS_NAMESPACE, NODES
from tests.e2e.harness.system import Daemon, in_network

CONTROL_PORT = 16981
READY_DEADLINE_S = 120.0
REQUEST_TIMEOUT_S = 10.0


def public_ip(address: str) -> str:
    """The public IP that the node with the private IP `address` has unless a test says otherwise."""
    return f"198.51.100.{address.rpartition('.')[2]}"


def node_document(address: str, *, public: str | None = None) -> Mapping[str, Any]:
    """What the metadata service says to the node with the private IP `address`, in its own shape.

    Its public IP is `public`, or else what `public_ip` says.
    """
    rule = {"backendPort": 30443, "frontendIpAddress": "203.0.113.20", "frontendPort": 443, "protocol": "tcp"}
    return {
        "loadbalancer": {
            "publicIpAddresses": [
                {"frontendIpAddress": public or public_ip(address), "privateIpAddress": address},
            ],
            "inboundRules": [{**rule, "privateIpAddress": address}],
            "outboundRules": [{"frontendIpAddress": "203.0.113.30", "privateIpAddress": address}],
        }
    }


class ControlError(Exception):
    """The simulator refused what a test wanted it to say."""


class Simulator:
    """The metadata service at 169.254.169.254 of every node."""

    def __init__(self) -> None:
        listen = ("--listen", f"{IMDS_ADDRESS}:80", "--control-listen", f"127.0.0.1:{CONTROL_PORT}")
        command = in_network(IMDS_NAMESPACE, sys.executable, "-m", "sidecar", "simulate", *listen)
        self._daemon = Daemon("simulator", command, directory=CHECKOUT)
        self._door = Door("door-simulator", IMDS_NAMESPACE, host="127.0.0.1", port=CONTROL_PORT)

    def start(self) -> None:
        """Start it with a document of its own for each node, and none for anybody else.

        Raises:
            StartError: it did not come up; the text ends with the tail of its log.
        """
        self._door.open()
        self._daemon.start(self._answers, deadline_s=READY_DEADLINE_S)
        self.reset()

    def end(self) -> None:
        """End it; may be repeated."""
        self._daemon.end()
        self._door.end()

    def reset(self) -> None:
        """Say what was said at first, without faults."""
        self._control("DELETE", "/fault")
        self._control("PUT", "/document", "none")
        self.set_documents({})

    def set_documents(self, documents: Mapping[str, Any]) -> None:
        """Say these documents to the nodes named, as JSON or a catalogue name; the others as at first."""
        addresses = {
            node.address: documents.get(node.name, {"inline": node_document(node.address)}) for node in NODES
        }
        self._control("PUT", "/addresses", addresses)

    @contextmanager
    def saying(self, **documents: Any) -> Iterator[None]:
        """While in the block, say the documents to the nodes (``node_b="none"``); then as at first."""
        self.set_documents({name.replace("_", "-"): document for name, document in documents.items()})
        try:
            yield
        finally:
            self.set_documents({})

    @contextmanager
    def failing(self, fault: Any) -> Iterator[None]:
        """While in the block, answer everybody with the fault, a name or JSON."""
        self._control("PUT", "/fault", fault)
        try:
            yield
        finally:
            self._control("DELETE", "/fault")

    def counters(self) -> Mapping[str, Any]:
        """What was asked so far: ``requests``, ``byStatus``, ``byPath``, ``byCaller``, ``lastRequest``."""
        answer: Mapping[str, Any] = json.loads(self._control("GET", "/counters"))
        return answer

    def _answers(self) -> bool:
        try:
            self._control("GET", "/state")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def _control(self, method: str, path: str, body: Any = None) -> str:
        data = None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self._door.port, timeout=REQUEST_TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request(method, path, body=data)
            answer = connection.getresponse()
            text = answer.read().decode()
        if answer.status >= 400:
            raise ControlError(f"{method} {path}: {answer.status}: {text}")
        return text
