"""The HTTP side: what pods and people ask, and what the kubelet and Prometheus ask.

A reader of the latest snapshot, and of nothing else. A request becomes a query
(:mod:`~sidecar.api.questions`), the query of an endpoint (:mod:`~sidecar.api.endpoints`) becomes a
body (:mod:`~sidecar.api.bodies`), and bodies are kept until the data change
(:mod:`~sidecar.api.representations`). Long polls and event streams (:mod:`~sidecar.api.waiting`) wait for the
ETag of such a body. People get :mod:`~sidecar.api.page`; :mod:`~sidecar.api.description` is made at build
time and imported by nothing here.
"""
