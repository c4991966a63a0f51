"""API versions of the service.

MicrosoftDocs/azure-compute-docs:articles/virtual-machines/instance-metadata-service.md (to
2025-04-07) and Azure/azure-container-networking:cns/imds/client.go (2025-07-24).
"""

LOADBALANCER_SINCE = "2020-10-01"
"""The version that introduced the load balancer category."""

KNOWN_VERSIONS = (
    "2017-03-01",
    "2017-04-02",
    "2017-08-01",
    "2017-10-01",
    "2017-12-01",
    "2018-02-01",
    "2018-04-02",
    "2018-10-01",
    "2019-02-01",
    "2019-03-11",
    "2019-04-30",
    "2019-06-01",
    "2019-06-04",
    "2019-08-01",
    "2019-08-15",
    "2019-11-01",
    "2020-06-01",
    "2020-07-15",
    "2020-09-01",
    # pylint: disable=duplicate-code  # the simulator shares nothing with the agent
    "2020-10-01",
    "2020-12-01",
    "2021-01-01",
    "2021-02-01",
    "2021-03-01",
    "2021-05-01",
    "2021-08-01",
    "2021-10-01",
    "2021-11-01",
    "2021-11-15",
    "2021-12-13",
    "2023-07-01",
    "2023-11-15",
    "2024-03-15",
    "2024-07-17",
    "2025-04-07",
)
"""The versions the document lists, oldest first.

2025-07-24, which Azure's container networking sends, is left out: the captured ``newest-versions``
do not name it.
"""
