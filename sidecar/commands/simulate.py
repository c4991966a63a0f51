"""``simulate``: a simulated metadata service for tests and demonstrations."""

import json
import logging
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path

from sidecar.commands.arguments import Parser
from sidecar.errors import ExitCode, ListenError, UsageError
from sidecar.simulator import (
    DOCUMENTS,
    FAULTS,
    DocumentSettings,
    FaultSettings,
    ScenarioError,
    Simulator,
    catalogue,
    load_scenario,
    parse_scenario,
    serve,
)
from sidecar.stopping import Shutdown, run

_EPILOGUE = """\
While it runs, the control listener changes its replies:
  curl -X PUT --data unavailable http://127.0.0.1:16981/fault
  curl -X PUT --data public-ip http://127.0.0.1:16981/document
  curl -X DELETE http://127.0.0.1:16981/fault
  curl http://127.0.0.1:16981/
"""


def parser() -> Parser:
    """The command line of ``simulate``."""
    description = "Run a simulator of the Azure metadata service. It never contacts Azure."
    result = Parser("simulate", description=description, epilog=_EPILOGUE)
    result.add_argument(
        "--listen",
        type=_address,
        default=("127.0.0.1", 16980),
        metavar="ADDRESS:PORT",
        help="where the metadata service listens; :PORT is all addresses (default: 127.0.0.1:16980)",
    )
    result.add_argument(
        "--control-listen",
        type=_address,
        default=("127.0.0.1", 16981),
        metavar="ADDRESS:PORT",
        help="where the control listener listens, without authentication (default: 127.0.0.1:16981)",
    )
    result.add_argument(
        "--document", choices=DOCUMENTS, metavar="NAME", help="the document (default: all); see --list"
    )
    result.add_argument(
        "--fault", choices=("none", *FAULTS), metavar="NAME", help="the fault (default: none); see --list"
    )
    result.add_argument(
        "--scenario", type=Path, metavar="FILE", help="documents and faults over time, as YAML"
    )
    result.add_argument(
        "--no-rate-limit", action="store_true", help="allow more than 5 requests a second from one caller"
    )
    result.add_argument("--list", action="store_true", help="list documents and faults, and exit")
    result.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="format of the list (default: text)"
    )
    return result


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT.

    Raises:
        UsageError: an argument or the scenario is wrong.
        ListenError: the address or port cannot be bound.
    """
    options = parser().parse_args(arguments)
    if options.list:
        listed = catalogue()
        if options.output == "json":
            print(json.dumps(listed, indent=2))
            return ExitCode.DONE
        for title, entries in listed.items():
            print(f"{title}:")
            for name, summary in entries.items() if isinstance(entries, dict) else ():
                print(f"  {name:<24} {summary}")
        return ExitCode.DONE
    try:
        scenario = load_scenario(options.scenario) if options.scenario else parse_scenario("")
    except (ScenarioError, OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{options.scenario}: {_reason(error)}") from error
    changes: dict[str, object] = {}
    if options.document:
        changes["document"] = DocumentSettings(name=options.document)
    if options.fault:
        changes["fault"] = None if options.fault == "none" else FaultSettings(name=options.fault)
    if options.no_rate_limit:
        changes["rate_limit"] = False
    simulator = Simulator(scenario.model_copy(update=changes))
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    run(_run(simulator, options.listen, options.control_listen))
    return ExitCode.DONE


async def _run(simulator: Simulator, listen: tuple[str, int], control: tuple[str, int]) -> None:
    stopping = Shutdown()
    try:
        with stopping.on_signals():
            async with serve(
                simulator, listen[0], port=listen[1], control_host=control[0], control_port=control[1]
            ) as serving:
                print(f"metadata service: {serving.url}/metadata/loadbalancer", flush=True)
                print(f"control:          {serving.control_url}/", flush=True)
                await stopping.requested.wait()
    except OSError as error:
        raise ListenError(f"cannot listen: {_reason(error)}") from error


def _address(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, ``[IPv6]:PORT`` or ``:PORT``; no host is all addresses."""
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise ArgumentTypeError(f"{text!r} is not ADDRESS:PORT, such as 127.0.0.1:16980")
    if ":" in bare and bare == host:
        raise ArgumentTypeError(f"{text!r}: write an IPv6 address in brackets, such as [::1]:16980")
    return bare, int(port)


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
