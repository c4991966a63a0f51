"""The load balancer facts of an Azure node, for its pods and for Kubernetes.

One agent per node reads the Azure Instance Metadata Service, annotates its own Node and
serves the answer over HTTP. ``docs/ARCHITECTURE.md`` shows which part does what.
"""

__version__ = "0.1.0"
