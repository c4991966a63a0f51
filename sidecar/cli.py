"""The command line: dispatch on the first word; an error becomes advice and an exit code."""

import importlib
import os
import sys
from collections.abc import Sequence

import sidecar
from sidecar.errors import Error, ExitCode
from sidecar.logs import flushed

PROGRAM = "azure-lb-metadata"

COMMANDS = {
    "run": "the agent: read the metadata service, annotate the Node, answer over HTTP",
    "get": "print one answer: of the running agent, the metadata service, or a Node",
    "wait": "end when the agent or the metadata service says what is waited for",
    "exec": "wait, then become another command with the facts in its environment",
    "nodes": "what all nodes know of their load balancer, and the addresses that they leave from",
    "rules": "inbound rules over all nodes: who has them, who misses them, whose Service",
    "doctor": "which known cause keeps a node from its facts, and what to do about it",
    "prune": "remove the annotations from all Nodes, or from some",
    "simulate": "a stand-in for the metadata service, for tests and demonstrations",
    "demo": "simulator and agent on loopback, to look around",
}
"""One line for each command."""

_MODULES = {
    "doctor": "sidecar.doctor.command",
    "nodes": "sidecar.fleet.nodes",
    "rules": "sidecar.fleet.rules",
    "prune": "sidecar.fleet.prune",
}
"""Where a command is that is not in ``sidecar.commands``. It is imported only when it is called."""

_INTERRUPTED = 130
"""What a shell reports of a command that Ctrl-C ended: 128 + SIGINT."""

_HELP = """\
usage: {program} COMMAND [ARGUMENT ...]

The load balancer facts of an Azure node, as annotations and over HTTP.

commands:
{commands}

{program} COMMAND --help shows the arguments of a command, {program} --version the version.
"""


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code."""
    given = arguments or ["--help"]
    try:
        try:
            code = _dispatch(*given)
        finally:
            # Also before an error is reported: that standard output cannot be written is an error itself.
            sys.stdout.flush()
    except Error as error:
        if not flushed():
            # Nobody reads standard error, so writing the error there would block for ever.
            os._exit(error.exit_code)
        line = " ".join(str(error).splitlines())
        sys.stderr.write(f"{PROGRAM} {given[0]}: {line}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has seen enough; nothing is left to be flushed to it.
        sys.stdout = None
        return ExitCode.DONE
    return code


def _dispatch(command: str, *arguments: str) -> int:
    if command in {"--help", "-h", "help"}:
        width = max(map(len, COMMANDS))
        lines = [f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items()]
        sys.stdout.write(_HELP.format(program=PROGRAM, commands="\n".join(lines)))
        return ExitCode.DONE
    if command == "--version":
        sys.stdout.write(f"{PROGRAM} {sidecar.__version__}\n")
        return ExitCode.DONE
    if command not in COMMANDS:
        sys.stderr.write(f"{PROGRAM}: there is no command {command!r}; there are {', '.join(COMMANDS)}\n")
        return ExitCode.USAGE
    module = _MODULES.get(command, f"sidecar.commands.{command}")
    try:
        return int(importlib.import_module(module).main(list(arguments)))
    except SystemExit as end:  # how argparse ends after --help
        return int(end.code or ExitCode.DONE)
