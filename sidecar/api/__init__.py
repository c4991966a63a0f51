"""The HTTP side: for pods and people, and for the kubelet and Prometheus.

A reader of the latest snapshot, and of nothing else. A request (:mod:`~sidecar.api.request`) is read by the
table of :mod:`~sidecar.api.endpoints` and gets a body (:mod:`~sidecar.api.bodies`); responses are kept until
the data change (:mod:`~sidecar.api.response`). Long polls and event streams (:mod:`~sidecar.api.waiting`)
wait for the ETag of such a body. People get :mod:`~sidecar.api.page`; :mod:`~sidecar.api.description` is made
at build time and imported by nothing here.
"""
