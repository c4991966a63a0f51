"""A simulator of the Azure Instance Metadata Service, above all of its load balancer endpoint.

It imitates what public documents and captures show and marks what is a guess; ``docs/simulator.md``
has the table. It imports nothing else of this project, so that it cannot share the agent's
misunderstandings.

    async with serve(Simulator(parse_scenario("document: public-ip"))) as serving:
        ...  # requests to serving.url
        serving.simulator.set_fault("unavailable")
"""

from sidecar.simulator.conditions import (
    Behaviour,
    DocumentSettings,
    FaultSettings,
    InstanceSettings,
    Scenario,
    ScenarioError,
    Step,
    load_scenario,
    parse_scenario,
)
from sidecar.simulator.control import catalogue
from sidecar.simulator.documents import DOCUMENTS
from sidecar.simulator.faults import FAULTS
from sidecar.simulator.server import Serving, Simulator, serve
from sidecar.simulator.simulation import Call, Counters

__all__ = [
    "DOCUMENTS",
    "FAULTS",
    "Behaviour",
    "Call",
    "Counters",
    "DocumentSettings",
    "FaultSettings",
    "InstanceSettings",
    "Scenario",
    "ScenarioError",
    "Serving",
    "Simulator",
    "Step",
    "catalogue",
    "load_scenario",
    "parse_scenario",
    "serve",
]
