"""``doctor``: names the known causes that keep a node from its data, with evidence and remedy."""

import sys
from collections.abc import Sequence
from pathlib import Path

from sidecar.commands.arguments import (
    Parser,
    add_context_argument,
    annotation_prefix,
    duration,
    node_name,
    whole_number,
    written_as,
)
from sidecar.commands.clients import check_target
from sidecar.commands.tables import as_json
from sidecar.core.addresses import parse_address
from sidecar.doctor.bundle import clean, write_bundle
from sidecar.doctor.causes import CAUSES
from sidecar.doctor.diagnose import diagnose
from sidecar.doctor.environment import detect_environment
from sidecar.doctor.probe import probe_from_afar, probe_this_host
from sidecar.doctor.report import as_object, as_text
from sidecar.errors import ExitCode, UsageError
from sidecar.stopping import run_until_terminated

_DESCRIPTION = """\
Name the known causes that apply, the one that explains the others first, each with what shows it and
what to do about it.

It queries the agent on this host, and the metadata service if there is no agent or it is not well; then
the API server, if the agent annotates its Node. With --node it runs on an operator's machine instead and
reaches the agent through the API server. Nothing is changed anywhere: the one write is a dry run.
"""

_EPILOG = """\
on a cluster:
  kubectl exec -n azure-lb-metadata POD -- azure-lb-metadata doctor
  kubectl exec -n azure-lb-metadata POD -- azure-lb-metadata doctor --bundle - > bundle.tar.gz
  where POD is the agent's on that node:
  kubectl get pods -n azure-lb-metadata -l app.kubernetes.io/component=agent -o wide

rights (--node):
  nodes                 get     in the cluster
  pods, daemonsets      list    in the cluster, or with --agent-namespace in that namespace
  pods, pods/proxy      get     in the agent's namespace
  subjectaccessreviews  create  in the cluster; without it the agent's rights stay unknown

exit codes:
  0  healthy: no known cause applies
  1  at least one does
  2  wrong usage

Every cause is explained in docs/doctor.md.
"""

_STANDARD_OUTPUT = "-"

_TIMEOUT = 10.0
"""Seconds for each request: all answer at once, unless a machine is very busy."""


def main(arguments: Sequence[str]) -> int:
    """Run the probes, print the report, and write a bundle if that is wanted.

    Raises:
        UsageError: arguments, variables or kubeconfig are wrong.
        Error: the bundle cannot be written.
    """
    parser = Parser("doctor", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "--direct", action="store_true", help="query the metadata service instead of the agent"
    )
    parser.add_argument("--upstream", metavar="URL", help="query this agent")
    parser.add_argument(
        "--node", type=node_name, metavar="NAME", help="probe this node from an operator's machine"
    )
    parser.add_argument(
        "--agent-namespace", metavar="NAMESPACE", help="for --node: where the agents are [all namespaces]"
    )
    parser.add_argument("--kubeconfig", metavar="PATH", help="else as the agent here has it")
    add_context_argument(parser)
    parser.add_argument(
        "--annotation-prefix", type=annotation_prefix, metavar="DOMAIN", help="else as the agent here has it"
    )
    parser.add_argument(
        "--seen-from",
        type=written_as(parse_address),
        action="append",
        default=[],
        metavar="ADDRESS",
        help="an address that others saw connections of this node come from; may be repeated",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="CAUSE",
        help="a cause that is as intended; may be repeated",
    )
    parser.add_argument(
        "--tries",
        type=whole_number(1, 10),
        default=3,
        metavar="N",
        help="requests to the metadata service, 1 to 10 [3]",
    )
    parser.add_argument(
        "--timeout",
        type=duration,
        default=_TIMEOUT,
        metavar="DURATION",
        help=f"for each request to the agent and to the API server [{_TIMEOUT:g}s]",
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="[text]")
    parser.add_argument("--json", action="store_true", help="the same as -o json")
    parser.add_argument(
        "--bundle", metavar="FILE", help="also write a support bundle (tar.gz) without secrets; - is stdout"
    )
    parsed = parser.parse_args(arguments)
    check_target(parsed)
    unknown = [name for name in parsed.ignore if name not in CAUSES]
    if unknown:
        raise UsageError(f"there is no cause {unknown[0]!r}", advice="docs/doctor.md lists them")
    detected = detect_environment(parsed)
    probe = probe_this_host if parsed.node is None else probe_from_afar
    findings = run_until_terminated(probe(parsed, detected))
    diagnoses = diagnose(findings, ignored=parsed.ignore)

    if parsed.json or parsed.output == "json":
        text = as_json(as_object(findings, diagnoses))
    else:
        text = as_text(findings, diagnoses)
    # It quotes responses, which may hold anything.
    text = clean(text.encode(), findings.secrets).decode()
    to_output = parsed.bundle == _STANDARD_OUTPUT
    (sys.stderr if to_output else sys.stdout).write(text)
    if parsed.bundle is not None:
        path = None if to_output else Path(parsed.bundle)
        write_bundle(path, findings, diagnoses, detected=detected)
    return ExitCode.FAILED if diagnoses else ExitCode.DONE
