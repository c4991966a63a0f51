"""The support bundle: everything that was found, as files in a ``tar.gz``, without secrets.

What is collected has no secrets by intent: no token, no kubeconfig, no variable but ours and those of
proxies. What comes from elsewhere (bodies, headers, errors) is cleaned of everything that looks like one.
"""

import io
import json
import platform
import re
import sys
import tarfile
import tempfile
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import sidecar
from sidecar.config import shown
from sidecar.core.instant import rfc3339
from sidecar.doctor.causes import Diagnosis
from sidecar.doctor.environment import DetectedEnvironment
from sidecar.doctor.evidence import Findings
from sidecar.doctor.report import as_object, as_text
from sidecar.errors import Error

HIDDEN = "(hidden)"

_HIDDEN = HIDDEN.encode()

_NAMES = (
    rb"secret|password|passwd|passphrase|pwd|token|assertion|api[_-]?key|access[_-]?key|account[_-]?key"
    rb"|sharedaccesskey|(?<![a-z])sig|signature|credentials?|authorization|cookie"
)
"""How names end whose values are secret: ``client_secret``, ``refresh_token``, ``SharedAccessKey``, a SAS's
``sig`` (https://learn.microsoft.com/rest/api/storageservices/create-service-sas)."""

_JSON_WEB_TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
"""RFC 7519; a service account's token is one."""

_SCHEMES = re.compile(rb"(?i)\b((?:bearer|negotiate)(?:[ \t+]|%20){1,8})[A-Za-z0-9._~+/%=-]{8,}")
"""RFC 6750, and RFC 4559; shorter ones are words."""

_BASIC = re.compile(rb"(?i)\b(basic(?:[ \t+]|%20){1,8})([A-Za-z0-9+/_-]{2,}(?:=|%3d){0,2})")
"""RFC 7617."""

_QUOTED = re.compile(rb"(?i)(?:" + _NAMES + rb")\\{0,31}[\"']?\s{0,9}[:=]\s{0,9}(\\{0,31})([\"'])")
"""Up to the quote before a value; JSON within JSON has backslashes before it."""

_QUOTES = {quote: re.compile(rb"(\\*)" + quote) for quote in (b'"', b"'")}

_ASSIGNED = re.compile(rb"(?i)((?:" + _NAMES + rb")(?:=|%3d))[^\s&;,\"'\\<>(]+")
"""In a query, a form, a connection string or a variable."""

_URL = re.compile(rb"(:(?:\\{0,3}/){2})(?:[^\s\"'@/:]{0,512}@|[^\s\"'@/:]{0,512}:[^\s\"'<>]{0,1024}@)")
"""What a URL has before its last ``@``: a password may have a slash or an ``@`` that nobody quoted."""

_PAIR = re.compile(
    rb"(?<![\w.@/:%-])[^\s\"'/:@=<>(){},;\\]{1,256}:(?!\\{0,3}/\\{0,3}/)[^\s\"'@<>\\]{1,512}@(?=[\w\[.-])"
)
"""``user:password@proxy`` without a scheme, as proxies are often set."""


def clean(content: bytes, secrets: Iterable[str]) -> bytes:
    """Content without these secrets, and without what looks like one."""
    for secret in filter(None, secrets):
        content = content.replace(secret.encode(), _HIDDEN)
    content = _JSON_WEB_TOKEN.sub(_HIDDEN, content)
    # Of a value in quotes that has no end, all that follows is hidden; the quotes stay.
    kept: list[bytes] = []
    at = 0
    while found := _QUOTED.search(content, at):
        kept += content[at : found.end()], _HIDDEN
        at = _end(content, found.end(), level=len(found.group(1)) + 1, quote=found.group(2))
    content = b"".join([*kept, content[at:]])
    content = _ASSIGNED.sub(rb"\1" + _HIDDEN, content)
    content = _SCHEMES.sub(rb"\1" + _HIDDEN, content)
    content = _BASIC.sub(_basic, content)
    content = _URL.sub(rb"\1" + _HIDDEN + b"@", content)
    return _PAIR.sub(_HIDDEN + b"@", content)


def _end(content: bytes, start: int, *, level: int, quote: bytes) -> int:
    """Where a value ends: at a quote that the value itself does not escape.

    With JSON in JSON in JSON every level doubles the backslashes: the quote has one less than ``level``,
    a backslash of the value twice ``level``, and a quote of the value those of both halved.
    """
    for found in _QUOTES[quote].finditer(content, start):
        slashes = len(found.group(1)) - (level - 1)
        if slashes >= 0 and slashes % (2 * level) == 0:
            return found.end() - level
    return len(content)


def _basic(found: re.Match[bytes]) -> bytes:
    """Hides name and password; a load balancer's "Basic SKU" stays."""
    value = found.group(2).partition(b"%")[0].rstrip(b"=")
    try:
        decoded = b64decode(
            value + b"=" * (-len(value) % 4), altchars=b"-_" if b"-" in value or b"_" in value else None
        )
    except (Base64Error, ValueError):
        decoded = b""
    secret = b":" in decoded or len(value) >= 16
    return found.group(1) + _HIDDEN if secret else found.group(0)


_SECRET_HEADERS = re.compile(r"auth|cookie|token|secret|signature|claims|password|api-?key", re.IGNORECASE)
_DISTRIBUTIONS = ("aiohttp", "pydantic", "prometheus-client")
_AGENT_FILES = {
    "/v1/loadbalancer": "loadbalancer.json",
    "/v1/history": "history.json",
    "/livez": "livez.txt",
    "/readyz": "readyz.txt",
    "/metrics": "metrics.txt",
}

_README = """\
A support bundle of azure-lb-metadata, made by "doctor --bundle".

report.txt, report.json   what doctor found
versions.json             of the program, Python and its libraries
settings.json             of the agent, and variables that name proxies (without credentials)
agent/                    what the running agent said: document, history, attempts, probes, metrics
service/                  requests to the metadata service and their answers, byte for byte
node/                     the Node's annotations under our prefix; rights; who the token is of

It has no tokens and no kubeconfig; values of headers that may be secret are replaced by {hidden}.
It does have IP addresses, names of nodes and pods, and load balancer rules: look through it before it
is sent outside.

For a support request to the vendor, when the metadata service gives no answer after several tries,
attach service/ and versions.json.
"""


def write_bundle(
    path: Path | None,
    findings: Findings,
    diagnoses: Sequence[Diagnosis],
    *,
    detected: DetectedEnvironment,
) -> None:
    """Write the bundle to a new file that only its owner can read, or to standard output.

    An existing file is replaced, whatever its mode; a link or a device never.

    Args:
        path: Of the file; ``None``: standard output.
        findings: The evidence.
        diagnoses: The causes that apply.
        detected: Where this runs.

    Raises:
        Error: the file cannot be written.
    """
    folder = f"azure-lb-metadata-{findings.now:%Y%m%dT%H%M%SZ}"
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for file_name, content in _files(findings, diagnoses, detected):
            safe = clean(content, findings.secrets)
            entry = tarfile.TarInfo(f"{folder}/{file_name}")
            entry.size, entry.mtime, entry.mode = len(safe), int(findings.now.timestamp()), 0o600
            archive.addfile(entry, io.BytesIO(safe))
    if path is None:
        sys.stdout.buffer.write(written.getvalue())
        return

    advice = "name a file in a writable directory, or - for standard output"
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise Error(
                f"the bundle {path} cannot be written: it is a link or no regular file", advice=advice
            )
        # For its owner alone; replacing follows no link that was made meanwhile.
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
                file.write(written.getvalue())
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Error(f"the bundle {path} cannot be written: {error.strerror}", advice=advice) from error


def _files(
    findings: Findings, diagnoses: Sequence[Diagnosis], detected: DetectedEnvironment
) -> Iterator[tuple[str, bytes]]:
    """Names and contents, before they are cleaned."""
    yield "README.txt", _README.format(hidden=HIDDEN).encode()
    yield "report.txt", as_text(findings, diagnoses).encode()
    yield "report.json", _json(as_object(findings, diagnoses))

    versions = {
        "azure-lb-metadata": sidecar.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    yield "versions.json", _json(versions)
    settings = {
        "ofRunningAgent": detected.from_agent,
        "settings": {name.replace("_", "-"): shown(value) for name, value in detected.settings},
        "surroundings": asdict(detected.environment),
    }
    yield "settings.json", _json(settings)

    agent = findings.agent
    if agent is not None:
        members = ("where", "reached", "detail", "node", "status", "reason", "revision")
        reported: dict[str, object] = {name: getattr(agent, name) for name in members}
        yield "agent/agent.json", _json({**reported, "attempts": [asdict(each) for each in agent.attempts]})
        for path, name in _AGENT_FILES.items():
            if path in agent.bodies:
                yield f"agent/{name}", agent.bodies[path]
            elif path in agent.lost:
                yield f"agent/{name}", f"# no answer: {agent.lost[path]}\n".encode()

    if findings.service is not None:
        for name, made in findings.service.exchanges.items():
            # Request and response as they went over the wire, as far as that is known.
            endpoint = findings.environment.endpoint
            lines = [f"# {rfc3339(made.at)}, {made.seconds:.3f} s, {endpoint}", f"GET {made.target} HTTP/1.1"]
            lines += [f"{header}: {value}" for header, value in made.sent.items()]
            if made.status is None:
                lines += ["", f"# no answer: {made.detail}"]
            else:
                lines += ["", f"HTTP/1.1 {made.status}"]
                lines += [
                    f"{header}: {HIDDEN if _SECRET_HEADERS.search(header) else value}"
                    for header, value in made.headers.items()
                ]
                lines += [""]
            yield f"service/{name}.txt", "\n".join([*lines, ""]).encode() + made.body

    cluster = findings.cluster
    if cluster is not None:
        annotations = {
            f"{cluster.prefix}/{name}": cluster.annotations[name] for name in sorted(cluster.annotations)
        }
        yield "node/annotations.json", _json(annotations)
        node = {"node": cluster.node_name, "ready": cluster.node_ready, "rights": cluster.rights}
        parts = {
            "problem": cluster.problem,
            "dry_run": cluster.dry_run,
            "claims": cluster.claims,
            "pod": cluster.pod,
        }
        node |= {name: None if value is None else asdict(value) for name, value in parts.items()}
        yield "node/cluster.json", _json(node)


def _json(value: object) -> bytes:
    def plain(value: object) -> object:
        return rfc3339(value) if isinstance(value, datetime) else str(value)

    return json.dumps(value, indent=2, default=plain).encode() + b"\n"
