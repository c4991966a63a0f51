"""``python -m bench.fleet``: run scenarios, print a table, and record it for the documentation."""

import argparse
import asyncio
import logging
import resource
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from bench.fleet import page, report
from bench.fleet.fleet import Fleet, point_to
from bench.fleet.meters import Cost, Meter, beside
from bench.fleet.others import CLIENT
from bench.fleet.pace import Pace, with_recommended_splay
from bench.fleet.population import populate
from bench.fleet.scenarios import CHANGES, SCENARIOS, STATUS_INTERVAL, Stage
from tests.support.apiserver import ApiServer, api_server_running
from tests.support.cluster import RBAC, Cluster, cluster_of

_CLIENT_RATE = 20.0
_FILES_PER_AGENT = 3
_SHORT = ("nobody", "quiet-without", "roll-out", "one-service", "quiet")


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000, metavar="N")
    parser.add_argument(
        "--scenario", action="append", choices=list(SCENARIOS), help="only this one; repeatable"
    )
    parser.add_argument("--short", action="store_true", help=f"only {', '.join(_SHORT)}")
    parser.add_argument(
        "--write-splay",
        type=float,
        metavar="SECONDS",
        help="default: the agent's, and for changes with more than 1,000 nodes the recommended one as well",
    )
    parser.add_argument("--record", action="store_true", help="keep the figures, and draw the picture anew")
    return parser.parse_args(given)


async def _admit_client(cluster: Cluster) -> None:
    """Let the other client do what it does."""
    namespace = "/api/v1/namespaces/default"
    await cluster.request("POST", f"{namespace}/configmaps", body={"metadata": {"name": "controller"}})
    binding = {
        "metadata": {"name": "controller"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": CLIENT}],
    }
    await cluster.request("POST", f"{RBAC}/namespaces/default/rolebindings", body=binding)


async def _run(server: ApiServer, options: argparse.Namespace, directory: Path) -> list[Cost]:
    costs: list[Cost] = []
    about = report.machine()

    def reported(cost: Cost) -> None:
        costs.append(cost)
        if options.record:
            report.record(cost, about=about)
        print(report.row(cost), flush=True)

    async with cluster_of(server) as cluster:
        await _admit_client(cluster)
        identities = await populate(cluster, options.nodes, directory=directory)
    point_to(server.url)
    rates = {"clients": _CLIENT_RATE, "kubelets": options.nodes / STATUS_INTERVAL, "watchers": 0.0}
    async with AsyncExitStack() as stack:
        fleet = Fleet(identities, await stack.enter_async_context(asyncio.TaskGroup()))
        stage = Stage(
            server,
            fleet,
            Meter(server, fleet, directory),
            directory,
            reported,
            real=Pace() if options.write_splay is None else Pace(write_splay=options.write_splay),
        )
        for role, rate in rates.items():
            stack.enter_context(beside(role, server, nodes=options.nodes, rate=rate, outputs=directory))
        stack.push_async_callback(fleet.stop)
        await asyncio.sleep(3)  # until they are at it
        print(report.heading(), flush=True)
        await _play(stage, options)
    return costs


async def _play(stage: Stage, options: argparse.Namespace) -> None:
    """One scenario after another; changes with a longer write splay, too, where that is recommended."""
    chosen = options.scenario or (_SHORT if options.short else list(SCENARIOS))
    for name in chosen:
        await SCENARIOS[name](stage)
    longer = with_recommended_splay(stage.nodes)
    if options.write_splay is None and not longer.usual:
        for name in (name for name in chosen if name in CHANGES):
            await SCENARIOS[name](replace(stage, real=longer))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    options = _arguments(arguments)
    logging.disable(logging.WARNING)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.nodes * _FILES_PER_AGENT > most:
        print(f"warning: {most} open files may be too few for {options.nodes} agents")
    with api_server_running() as server, tempfile.TemporaryDirectory() as directory:
        costs = asyncio.run(_run(server, options, Path(directory)))
    records = {cost.scenario: cost.record() for cost in costs}
    for line in report.watched(records):
        print(line)
    print(report.machine())
    if options.record:
        page.main()


if __name__ == "__main__":
    main()
