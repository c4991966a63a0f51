"""``make cluster`` and ``make cluster-down``: the cluster of the tests, for a person to look around."""

import argparse
import sys

from tests.e2e.harness import cluster
from tests.e2e.harness.cluster import ClusterBusyError, KubernetesCluster
from tests.e2e.harness.images import PROJECT_REPOSITORY, PROJECT_TAG, Images
from tests.e2e.harness.system import CommandError
from tests.support.processes import StartError
from tools.binaries.programs import BinariesMissingError
from tools.ending import exit_with


def up() -> None:
    """Start a cluster that stays, and say how to use it.

    Raises:
        ClusterBusyError: there is one already.
        CommandError: a program failed.
        StartError: a part did not come up.
    """
    if reason := cluster.missing():
        raise CommandError(reason)
    with cluster.exclusive():
        print("building the images", flush=True)
        images = Images.provide()
        print("starting the cluster", flush=True)
        with KubernetesCluster.started(images) as running:
            cluster.keep()
            print(running.kubectl("get", "nodes", "-o=wide"))
            print(f"export KUBECONFIG={running.kubeconfig}")
            print(f"export PATH={running.control_plane.programs['kubectl'].parent}:$PATH")
            print(f"the image is {PROJECT_REPOSITORY}:{PROJECT_TAG}; end with: make cluster-down")


def down() -> None:
    """End the cluster, if there is one, and remove all of it.

    Raises:
        ClusterBusyError: a test run has it.
    """
    with cluster.exclusive(kept_as_well=True):
        print("the cluster is gone")


def main() -> int:
    """Do what the command line says; the exit code is 1 when that failed."""
    parser = argparse.ArgumentParser(prog="tests.e2e.harness", description=__doc__)
    parser.add_argument("action", choices=["up", "down"])
    action = {"up": up, "down": down}[parser.parse_args().action]
    try:
        action()
    except (BinariesMissingError, ClusterBusyError, CommandError, StartError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    exit_with(main)
