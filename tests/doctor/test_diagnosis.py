"""From findings to causes: what sockets of a test cannot show, and the order."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sidecar.core.outcome import NONE, FailureKind, Reason, Status
from sidecar.core.reply import interpret, refuses_version
from sidecar.doctor.causes import CAUSES, Diagnosis
from sidecar.doctor.diagnose import diagnose
from sidecar.doctor.evidence import (
    AgentAttempt,
    AgentEvidence,
    ApiServerFailure,
    ApiServerFailureKind,
    ClusterEvidence,
    ServiceAttempt,
    ServiceEvidence,
    seconds_ahead,
)
from sidecar.doctor.replies import (
    OTHER_CLOUDS,
    PROGRAMS,
    PROXY_HEADERS,
    PROXY_SERVERS,
    VENDOR_ERRORS,
    judge,
)
from tests.doctor.diagnosing import DOCUMENT, GOOD, WELL_KNOWN, findings
from tests.support.states import EPOCH


def failed(**details: Any) -> ServiceAttempt:
    """A try that brought no data."""
    return ServiceAttempt(**{"at": EPOCH.utc, "seconds": 0.01, "reason": Reason.REJECTED, **details})


def tried(*tries: ServiceAttempt) -> ServiceEvidence:
    """What the service said."""
    return ServiceEvidence(attempts=tries, document=DOCUMENT if GOOD in tries else None)


def names(diagnoses: tuple[Diagnosis, ...]) -> list[str]:
    """Their causes."""
    return [diagnosis.cause.name for diagnosis in diagnoses]


NETWORKS: Mapping[tuple[FailureKind, bool | None], tuple[str, str]] = {
    (FailureKind.NO_CONNECTION, False): ("imds-restriction", "likely"),
    (FailureKind.NO_CONNECTION, None): ("imds-restriction", "likely"),
    (FailureKind.NO_CONNECTION, True): ("metadata-service-unreachable", "certain"),
    (FailureKind.REFUSED, False): ("metadata-service-unreachable", "certain"),
    (FailureKind.NO_ROUTE, True): ("metadata-service-unreachable", "certain"),
    (FailureKind.RESET, True): ("metadata-service-unreachable", "certain"),
    (FailureKind.UNKNOWN_NAME, True): ("wrong-endpoint", "certain"),
    (FailureKind.NO_ANSWER, False): ("metadata-service-silent", "likely"),
    (FailureKind.BROKEN, True): ("answer-malformed", "certain"),
}
"""At the well-known address: how a try ended, whether in the node's network, and the verdict."""


@pytest.mark.parametrize(("kind", "host_network"), NETWORKS)
def test_networks(kind: FailureKind, host_network: bool | None) -> None:  # noqa: FBT001 - a parameter
    """At the well-known address nobody blames the endpoint, and the network decides."""
    verdict = judge(failed(kind=kind), replace(WELL_KNOWN, host_network=host_network))

    assert (verdict.cause, verdict.confidence) == NETWORKS[kind, host_network]


@pytest.mark.parametrize("kind", [FailureKind.REFUSED, FailureKind.NO_ROUTE, FailureKind.RESET])
def test_from_afar(kind: FailureKind) -> None:
    """From a machine that does not know the agent's endpoint, nobody is sure that it is the network."""
    verdict = judge(failed(kind=kind), replace(WELL_KNOWN, same_host=False))

    assert (verdict.cause, verdict.confidence) == ("metadata-service-unreachable", "likely")


@pytest.mark.parametrize(
    "reply",
    [
        failed(status=302),
        failed(status=200, body=b"\n<!DOCTYPE HTML><html>"),
        failed(status=404, headers={"server": "nginx/1.25"}, detail="HTTP 404: <html>"),
    ],
)
def test_stranger_at_the_well_known_address(reply: ServiceAttempt) -> None:
    """Who answers there and is not the service stands in the way of it."""
    verdict = judge(reply, WELL_KNOWN)

    assert (verdict.cause, verdict.confidence) == ("proxy-in-the-way", "likely")


def test_data_without_the_header() -> None:
    """The same of data that are given without the header."""
    service = ServiceEvidence(attempts=(GOOD,), document=DOCUMENT, without_header=GOOD)

    assert names(diagnose(findings(service=service))) == ["proxy-in-the-way"]


@pytest.mark.parametrize("row", VENDOR_ERRORS, ids=lambda row: f"{row.status} {row.message}")
def test_errors_of_the_vendor(row: Any) -> None:
    """Each text of the vendor's page leads to its cause, with the mitigation as a hint."""
    if not row.message[0].isupper() and not row.message.startswith("/"):
        text = "Bad request. api-version is invalid or was not specified in the request."
    else:
        text = row.message
    verdict = judge(failed(status=row.status, detail=f"HTTP {row.status}: {text}"), WELL_KNOWN)

    assert (verdict.cause, verdict.confidence) == (row.cause, "certain")
    assert row.mitigation in verdict.because


@pytest.mark.parametrize("row", VENDOR_ERRORS, ids=lambda row: f"{row.status} {row.message}")
def test_agent_and_doctor_read_the_same_texts(row: Any) -> None:
    """What the agent takes for a refused version, or for "none", doctor names so, and nothing else."""
    for words in row.words or ("",):
        body = json.dumps({"error": f"{row.message}. {words}"}).encode()

        assert refuses_version(row.status, body) == (row.cause == "api-version-refused"), words
        assert (interpret(row.status, body) is NONE) == (row.cause == "no-standard-load-balancer"), words


SIGNS: Mapping[str, tuple[dict[str, Any], str]] = {
    **{f"header {name}": ({"headers": {name: "x"}}, f"the header {name}: x") for name in PROXY_HEADERS},
    **{
        f"server {name}": ({"headers": {"server": f"{name.title()}/1.0"}}, name.title())
        for name in PROXY_SERVERS
    },
    **{f"text {words}": ({"body": words.upper().encode()}, f"from {who}, by") for words, who in PROGRAMS},
    **{f"shown {words}": ({"detail": words}, f"from {who}, by") for words, who in PROGRAMS},
}
"""What an answer has by which a proxy is known, and what is said of it."""


@pytest.mark.parametrize("sign", SIGNS)
def test_signs_of_proxies(sign: str) -> None:
    """Each header, name and text of the tables is recognised, whatever the status means at the service."""
    details, said = SIGNS[sign]
    verdict = judge(failed(status=503, **details), WELL_KNOWN)

    assert (verdict.cause, verdict.confidence) == ("proxy-in-the-way", "certain")
    assert said in verdict.because


@pytest.mark.parametrize("header", OTHER_CLOUDS)
def test_signs_of_other_clouds(header: str) -> None:
    """The metadata service of another cloud is known by its header, and named."""
    verdict = judge(failed(status=404, headers={header: "x"}), replace(WELL_KNOWN, default_endpoint=False))

    assert (verdict.cause, verdict.confidence) == ("wrong-endpoint", "likely")
    assert verdict.because.endswith(f"the metadata service of {OTHER_CLOUDS[header]}")


def test_a_list_of_versions() -> None:
    """A 400 that lists versions is about the version, whatever its text."""
    reply = failed(status=400, detail="HTTP 400: no", body=b'{"error":"no","newest-versions":["2025-04-07"]}')

    assert judge(reply, WELL_KNOWN).cause == "api-version-refused"


@pytest.mark.parametrize(
    ("status", "cause"),
    [(400, "request-refused"), (404, "load-balancer-api-not-ready"), (408, "metadata-service-unavailable")],
)
def test_undocumented_texts(status: int, cause: str) -> None:
    """Of a known status with a strange text the status decides."""
    assert judge(failed(status=status, detail=f"HTTP {status}: zonk"), WELL_KNOWN).cause == cause


def attempt(outcome: str, detail: str = "", **details: Any) -> AgentAttempt:
    """One of an agent's last attempts."""
    return AgentAttempt("2026-01-02T03:04:05Z", outcome, detail, **details)


class TestAgent:
    """What the agent says, where the service was not asked or answers."""

    def agent(self, *attempts: AgentAttempt, **facts: Any) -> AgentEvidence:
        """An agent with these last attempts, newest first."""
        given = {"where": "here", "reached": True, "status": Status.OK, "document": DOCUMENT, **facts}
        return AgentEvidence(attempts=attempts, **given)

    def test_healthy(self) -> None:
        """All of the last attempts good: no cause."""
        assert diagnose(findings(agent=self.agent(*[attempt("ok")] * 10))) == ()

    @pytest.mark.parametrize(("failures", "alarmed"), [(1, False), (2, False), (3, True)])
    def test_some_failures(self, failures: int, alarmed: bool) -> None:  # noqa: FBT001 - a parameter
        """A failure or two of ten is what every service has; three are a cause."""
        bad = [attempt("unavailable", "HTTP 503: Internal service unavailable", status=503)] * failures
        agent = self.agent(*bad, *[attempt("ok")] * (10 - failures))

        assert bool(diagnose(findings(agent=agent))) is alarmed

    @pytest.mark.parametrize(
        ("throttled", "alarmed"), [(0.0, False), (9.0, False), (99.0, False), (100.0, True)]
    )
    def test_counted(self, throttled: float, alarmed: bool) -> None:  # noqa: FBT001 - a parameter
        """Where only counters are to be had, a tenth of all attempts is worth a word."""
        samples = {
            'azure_lb_metadata_attempts_total{outcome="ok"}': 1000.0 - throttled,
            'azure_lb_metadata_attempts_total{outcome="throttled"}': throttled,
        }

        assert bool(diagnose(findings(agent=self.agent(samples=samples)))) is alarmed

    @pytest.mark.parametrize(
        ("kind", "detail", "cause"),
        [
            (FailureKind.NO_CONNECTION, "no connection within the time-out", "imds-restriction"),
            (FailureKind.NO_ANSWER, "no complete answer within the time-out", "metadata-service-silent"),
            (FailureKind.REFUSED, "cannot connect: Connection refused", "metadata-service-unreachable"),
            (FailureKind.NO_ROUTE, "cannot connect: No route to host", "metadata-service-unreachable"),
            (FailureKind.UNKNOWN_NAME, "cannot resolve imds: Name or service not known", "wrong-endpoint"),
            (FailureKind.RESET, "the connection was closed before an answer", "metadata-service-unreachable"),
        ],
    )
    def test_unreachable(self, kind: FailureKind, detail: str, cause: str) -> None:
        """The kind of an attempt's failure says how the service is out of reach, whatever its words."""
        last = attempt("unreachable", detail, kind=kind)
        agent = self.agent(last, status=Status.STALE, reason=Reason.UNREACHABLE)
        there = replace(WELL_KNOWN, host_network=False)

        (diagnosis,) = diagnose(findings(there, agent=agent))

        assert diagnosis.cause.name == cause
        assert detail in diagnosis.evidence

    @pytest.mark.parametrize(
        ("reason", "cause", "confidence"),
        [
            (Reason.THROTTLED, "throttled", "certain"),
            (Reason.UNAVAILABLE, "metadata-service-unavailable", "likely"),
            (Reason.NOT_READY, "load-balancer-api-not-ready", "possible"),
            (Reason.REJECTED, "request-refused", "possible"),
            (Reason.MALFORMED, "answer-malformed", "likely"),
            (Reason.UNREACHABLE, "imds-restriction", "likely"),
        ],
    )
    @pytest.mark.parametrize("listed", [True, False], ids=["without its kind", "not listed"])
    def test_reason_alone(self, reason: Reason, cause: str, confidence: str, *, listed: bool) -> None:
        """Where neither status nor kind of an attempt is known, its reason points to a cause."""
        last = [attempt(reason, "as it is")] if listed else []
        agent = self.agent(*last, status=Status.STALE, reason=reason)
        there = replace(WELL_KNOWN, host_network=False)

        (diagnosis,) = diagnose(findings(there, agent=agent))

        assert (diagnosis.cause.name, diagnosis.confidence) == (cause, confidence)

    def test_reader_of_another_agent(self) -> None:
        """An agent that reads from another one which is well has not lost the metadata service."""
        there = replace(WELL_KNOWN, upstream="http://node-agent")
        agent = self.agent(attempt("unreachable", "x"), status=Status.STALE, reason=Reason.UNREACHABLE)

        (diagnosis,) = diagnose(findings(there, agent=agent))

        assert (diagnosis.cause.name, diagnosis.confidence) == ("no-agent", "possible")

    def test_own_tries_count_more(self) -> None:
        """What doctor sees itself goes before what the agent saw."""
        last = attempt("throttled", "HTTP 429: x", status=429)
        agent = self.agent(last, status=Status.STALE, reason=Reason.THROTTLED)
        service = tried(failed(status=410, detail="HTTP 410: Gone"))

        assert names(diagnose(findings(agent=agent, service=service))) == ["host-update"]


class TestCluster:
    """What the API server says."""

    def test_webhook(self) -> None:
        """A webhook's denial has the status of missing rights and is none."""
        denial = ApiServerFailure(
            ApiServerFailureKind.FORBIDDEN, 'admission webhook "x" denied the request: no', status=403
        )
        cluster = ClusterEvidence(node_name="a", prefix="x.io", dry_run=denial)

        assert names(diagnose(findings(cluster=cluster))) == ["policy-denies"]

    @pytest.mark.parametrize("kind", ApiServerFailureKind)
    def test_every_problem_has_a_cause(self, kind: ApiServerFailureKind) -> None:
        """However the API server fails, there is a cause for it."""
        cluster = ClusterEvidence(
            node_name="a", prefix="x.io", problem=ApiServerFailure(kind, "what happened")
        )

        (diagnosis,) = diagnose(findings(cluster=cluster))

        assert "what happened" in diagnosis.evidence

    def test_behind_for_a_moment(self) -> None:
        """A write that waits its turn is no cause, whatever was answered long ago."""
        samples = {
            'azure_lb_metadata_publish_lag_seconds{publisher="node"}': 12.0,
            'azure_lb_metadata_publishes_total{publisher="node",result="written"}': 4.0,
        }
        agent = AgentEvidence(where="here", reached=True, status=Status.OK, revision="b", samples=samples)
        cluster = ClusterEvidence(node_name="a", prefix="x.io", node_annotations={"x.io/revision": "a"})

        assert diagnose(findings(agent=agent, cluster=cluster)) == ()

    @pytest.mark.parametrize("there", ["a", "b"])
    def test_answers_of_long_ago(self, there: str) -> None:
        """Refusals that were counted once are no cause once the agent has nothing left to write."""
        samples = {
            'azure_lb_metadata_publish_lag_seconds{publisher="node"}': 0.0,
            'azure_lb_metadata_publishes_total{publisher="node",result="failed"}': 4.0,
            'azure_lb_metadata_kubernetes_requests_total{code="403",method="PATCH"}': 4.0,
        }
        agent = AgentEvidence(where="here", reached=True, status=Status.OK, revision="a", samples=samples)
        cluster = ClusterEvidence(node_name="a", prefix="x.io", node_annotations={"x.io/revision": there})

        assert diagnose(findings(agent=agent, cluster=cluster)) == ()


class TestOrder:
    """What explains the others comes first."""

    def test_clock_before_token(self) -> None:
        """A wrong clock explains a token that is refused."""
        problem = ApiServerFailure(ApiServerFailureKind.UNAUTHORIZED, "401")
        found = findings(
            cluster=ClusterEvidence(node_name="a", prefix="x.io", problem=problem, clock_ahead=-7200.0),
            service=replace(tried(GOOD), clock_ahead=-7201.0),
        )

        first, second = diagnose(found)

        assert (first.cause.name, first.confidence) == ("clock-wrong", "certain")
        assert first.evidence == (
            "it is 2 hours behind that of the metadata service",
            "it is 2 hours behind that of the API server",
        )
        assert second.cause.name == "token-refused"

    def test_each_cause_once(self) -> None:
        """Two grounds for a cause are one diagnosis, as sure as the better of them."""
        service = tried(
            failed(status=403, detail="HTTP 403: a"),
            failed(status=403, detail="HTTP 403: b", headers={"x-ms-azure-host-authorization": "v"}),
        )

        (diagnosis,) = diagnose(findings(service=service))

        assert diagnosis.cause.name == "metadata-security-protocol"

    def test_ignored(self) -> None:
        """A cause that is as intended is left out, and the others are not."""
        service = replace(tried(GOOD), clock_ahead=300.0)
        found = findings(replace(WELL_KNOWN, misspelt={"A": "B"}), service=service)

        assert names(diagnose(found)) == ["clock-wrong", "setting-misspelt"]
        assert names(diagnose(found, ignored=["clock-wrong"])) == ["setting-misspelt"]

    def test_names_are_unique(self) -> None:
        """No cause hides another of its name."""
        assert all(name == cause.name for name, cause in CAUSES.items())


@pytest.mark.parametrize(
    ("date", "ahead"),
    [
        ("Fri, 02 Jan 2026 03:03:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 03:04:06 GMT", -1.0),
        (None, None),
        ("yesterday", None),
        ("Fri, 02 Jan 2026 03:03:05 -0000", None),
    ],
)
def test_clocks(date: str | None, ahead: float | None) -> None:
    """A `Date` in GMT tells how far the own clock is from it; anything else tells nothing."""
    assert seconds_ahead(date, now=EPOCH.utc) == ahead


def test_a_minute_is_no_skew() -> None:
    """Clocks are a little apart everywhere."""
    almost = timedelta(seconds=60).total_seconds()

    cluster = ClusterEvidence(node_name="a", prefix="x.io", clock_ahead=almost)
    service = replace(tried(GOOD), clock_ahead=-almost)

    assert diagnose(findings(cluster=cluster, service=service)) == ()
