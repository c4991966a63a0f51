"""Where an artifact comes from, as a SLSA provenance predicate of version 1.

The form: https://slsa.dev/spec/v1.0/provenance.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

__all__ = ["BUILD_TYPE", "Source", "predicate"]

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


def predicate(source: Source, builder: str, *, started: dt.datetime, finished: dt.datetime) -> dict[str, Any]:
    """What is said about an artifact built from `source` by the one whose URI is `builder`.

    The times have a zone.
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
            "metadata": {"startedOn": _time(started), "finishedOn": _time(finished)},
        },
    }


def _time(when: dt.datetime) -> str:
    return when.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
