"""``python -m tests.release``: check the version, print a version's notes, rehearse a release."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

import sidecar
from tests.binaries.programs import BinariesMissingError
from tests.e2e.harness.cluster import ClusterBusyError
from tests.e2e.harness.system import CommandError
from tests.release import installation
from tests.release.changelog import ChangelogError, notes
from tests.release.installation import InstallationError
from tests.release.registry import registry_running
from tests.release.rehearsal import Rehearsal, RehearsalError, Report, commit
from tests.release.signing import NotRefusedError
from tests.release.tools import Tools
from tests.release.version import CHECKOUT, VersionError, disagreements, parsed
from tests.support.processes import StartError
from tests.wheel import WheelError

SUMMARY = CHECKOUT / "dist" / "release-dry-run.json"
FAILURES = (
    BinariesMissingError,
    ChangelogError,
    ClusterBusyError,
    CommandError,
    InstallationError,
    NotRefusedError,
    RehearsalError,
    StartError,
    VersionError,
    WheelError,
)


def check(tag: str | None) -> None:
    """Print the version when all places agree on it.

    Raises:
        RehearsalError: they do not.
    """
    if wrong := disagreements(tag):
        raise RehearsalError("\n".join(wrong))
    print(parsed(sidecar.__version__))


def rehearse(*, want_cluster: bool) -> None:
    """Do the whole path, and write the summary however far it comes."""
    version = parsed(sidecar.__version__)
    reason = installation.no_cluster() if want_cluster else "none was wanted"
    if reason:
        print(f"No cluster: {reason}. The chart will be installed on a bare API server.", flush=True)
    report = Report(str(version), commit(), "api-server" if reason else "cluster")
    SUMMARY.parent.mkdir(exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="azure-lb-metadata-release-") as folder:
            tools = Tools(Path(folder).resolve())
            with registry_running(tools.programs["registry"], tools.directory) as registry:
                Rehearsal(tools, version, registry, report).all_steps()
    finally:
        SUMMARY.write_text(report.text())
        print(f"summary: {SUMMARY}", flush=True)
    print(f"release-dry-run: {len(report.steps)} passed, 0 failed")


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; the exit code is 1 when that failed."""
    parser = argparse.ArgumentParser(prog="tests.release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check").add_argument("--tag", help="the release's Git tag, held against the version")
    commands.add_parser("notes")
    commands.add_parser("dry-run").add_argument("--no-cluster", action="store_true")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was begun is taken away
    try:
        if given.command == "check":
            check(given.tag)
        elif given.command == "notes":
            print(notes((CHECKOUT / "CHANGELOG.md").read_text(), sidecar.__version__), end="")
        else:
            rehearse(want_cluster=not given.no_cluster)
    except FAILURES as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
