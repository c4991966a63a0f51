"""Where an artifact comes from, as a SLSA provenance predicate of version 1.

The form: https://slsa.dev/spec/v1.0/provenance.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BUILD_TYPE = "https://azure-lb-metadata.io/build/release/v1"
"""The build type of this repository's release path; ``docs/releasing.md`` says what it does."""


@dataclass(frozen=True)
class Source:
    """What is built."""

    repository: str
    """Its URI."""

    commit: str
    tag: str
    """The Git tag of the release."""


def predicate(source: Source, builder: str, *, invocation: str, finished: dt.datetime) -> dict[str, Any]:
    """What is said about an artifact built from `source` by the one whose URI is `builder`.

    `invocation` is the URI of this very run; `finished` has a zone.
    """
    reference = f"refs/tags/{source.tag}"
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"repository": source.repository, "ref": reference},
            "internalParameters": {},
            "resolvedDependencies": [
                {"uri": f"git+{source.repository}@{reference}", "digest": {"gitCommit": source.commit}}
            ],
        },
        "runDetails": {
            "builder": {"id": builder},
            "metadata": {"invocationId": invocation, "finishedOn": _time(finished)},
        },
    }


def of_workflow(environment: Mapping[str, str], finished: dt.datetime) -> dict[str, Any]:
    """What is said about the artifacts of a run of the release workflow.

    The variables: https://docs.github.com/en/actions/reference/workflows-and-actions/variables.

    Raises:
        KeyError: a variable is not there, so this is no such run.
    """
    server = environment["GITHUB_SERVER_URL"]
    repository = f"{server}/{environment['GITHUB_REPOSITORY']}"
    number, attempt = environment["GITHUB_RUN_ID"], environment["GITHUB_RUN_ATTEMPT"]
    source = Source(repository, environment["GITHUB_SHA"], environment["GITHUB_REF_NAME"])
    builder = f"{server}/{environment['GITHUB_WORKFLOW_REF']}"
    return predicate(
        source,
        builder,
        invocation=f"{repository}/actions/runs/{number}/attempts/{attempt}",
        finished=finished,
    )


def _time(when: dt.datetime) -> str:
    return when.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
