"""``python -m tools.release``: the steps of a release that are more than one command, and its rehearsal."""

import argparse
import datetime as dt
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import sidecar
from tests.e2e.harness.cluster import ClusterBusyError
from tests.e2e.harness.system import CommandError
from tests.support.processes import StartError
from tests.support.removal import temporary_folder
from tools.binaries.programs import BinariesMissingError, locate_all
from tools.ending import exit_with
from tools.release import chart, installation
from tools.release.changelog import ChangelogError, notes
from tools.release.installation import InstallationError
from tools.release.programs import Tools
from tools.release.provenance import of_workflow
from tools.release.registry import registry_running
from tools.release.rehearsal import Rehearsal, RehearsalError, Report, commit
from tools.release.signing import NotRefusedError
from tools.release.version import CHECKOUT, VersionError, disagreements, parsed
from tools.wheel import WheelError

CHANGELOG = CHECKOUT / "CHANGELOG.md"
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
        with temporary_folder("azure-lb-metadata-release-") as folder:
            tools = Tools(folder)
            with registry_running(tools.programs["registry"], tools.directory) as registry:
                Rehearsal(tools, version, registry, report).all_steps()
    finally:
        SUMMARY.write_text(report.text())
        print(f"summary: {SUMMARY}", flush=True)
    print(f"release-dry-run: {len(report.steps)} passed, 0 failed")


def link_tools(folder: Path) -> None:
    """Link the programs of a release into a folder that a workflow can put on its PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in locate_all("release").items():
        (folder / name).symlink_to(path)


def package_chart(repository: str, folder: Path) -> None:
    """Package the chart for an image in `repository` into `folder`, and print the package's path."""
    with tempfile.TemporaryDirectory(prefix="azure-lb-metadata-chart-") as workplace:
        tools = Tools(Path(workplace).resolve())
        print(chart.package(tools, chart.prepare(repository, tools.directory), folder.resolve()))


def write_provenance(path: Path) -> None:
    """Write the provenance predicate of the workflow that runs this."""
    path.write_text(json.dumps(of_workflow(os.environ, dt.datetime.now(dt.UTC))))


def parser() -> argparse.ArgumentParser:
    """The command line; ``act`` of what it gives does what was asked for."""
    whole = argparse.ArgumentParser(prog="tools.release", description=__doc__)
    commands = whole.add_subparsers(dest="command", required=True)

    def command(name: str, act: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        part = commands.add_parser(name)
        part.set_defaults(act=act)
        return part

    each = command("check", lambda given: check(given.tag))
    each.add_argument("--tag", help="the release's Git tag, held against the version")
    command("notes", lambda _: print(notes(CHANGELOG.read_text(), sidecar.__version__), end=""))
    command("tools", lambda given: link_tools(given.folder)).add_argument("folder", type=Path)
    each = command("chart", lambda given: package_chart(given.repository, given.folder))
    each.add_argument("repository", help="where the image is, without a tag")
    each.add_argument("folder", type=Path)
    command("provenance", lambda given: write_provenance(given.path)).add_argument("path", type=Path)
    each = command("dry-run", lambda given: rehearse(want_cluster=not given.no_cluster))
    each.add_argument("--no-cluster", action="store_true", help="install on a bare API server")
    return whole


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; the exit code is 1 when that failed."""
    given = parser().parse_args(arguments)
    try:
        given.act(given)
    except FAILURES as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    exit_with(main)
