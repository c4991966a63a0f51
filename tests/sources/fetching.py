"""One attempt of a source, and what is expected of it; documents to answer with."""

from sidecar.core.outcome import Failure, Outcome, Success, UpstreamAnswer
from sidecar.sources.imds import IMDSSource

EMPTY = b'{"loadbalancer":{"publicIpAddresses":[],"inboundRules":[],"outboundRules":[]}}'

DOCUMENT = EMPTY.replace(
    b'"publicIpAddresses":[]',
    b'"publicIpAddresses":[{"frontendIpAddress":"20.1.2.3","privateIpAddress":"10.240.0.4"}]',
)


def answered(outcome: Outcome) -> UpstreamAnswer:
    """An outcome that must be an answer."""
    assert isinstance(outcome, UpstreamAnswer), outcome
    return outcome


def failed(outcome: Outcome) -> Failure:
    """An outcome that must be a failure."""
    assert isinstance(outcome, Failure), outcome
    return outcome


async def fetch_failure(source: IMDSSource) -> Failure:
    """One attempt that is expected to fail."""
    return failed(await source.fetch())


async def fetch_answer(source: IMDSSource) -> Success:
    """One attempt that is expected to succeed."""
    outcome = await source.fetch()
    assert isinstance(outcome, Success), outcome
    return outcome
