"""The HTTP side: what pods ask, and what the kubelet and Prometheus ask.

A reader of the latest snapshot, and of nothing else. A request becomes a question
(:mod:`~sidecar.api.parameters`, :mod:`~sidecar.api.filters`), the question of an endpoint
(:mod:`~sidecar.api.endpoints`) becomes a body (:mod:`~sidecar.api.bodies`), and bodies are kept until
the data change (:mod:`~sidecar.api.representations`).
"""
