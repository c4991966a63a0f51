"""cosign with a key pair of its own and no transparency log: all that can be done without a network."""

from collections.abc import Callable
from pathlib import Path

from tests.e2e.harness.system import CommandError
from tools.release.programs import Tools

BUNDLE_SUFFIX = ".sigstore.json"
_PASSWORD = {"COSIGN_PASSWORD": "only-for-this-run"}
_NO_LOG = "--tlog-upload=false"
_NO_LOG_NEEDED = "--insecure-ignore-tlog=true"
_PLAIN_HTTP = "--allow-http-registry"


class NotRefusedError(Exception):
    """A signature was taken that must not be: the check of signatures checks nothing."""


def must_fail(verify: Callable[[], None], what: str) -> None:
    """Prove that a verification fails.

    Raises:
        NotRefusedError: it does not; the text names `what` was taken.
    """
    try:
        verify()
    except CommandError:
        return
    raise NotRefusedError(f"{what} was not refused")


class Signer:
    """A key pair, what it signs, and the proof that it did.

    Artifacts in a registry are named with their digest, like ``localhost:5000/name@sha256:…``.
    """

    def __init__(self, tools: Tools, name: str) -> None:
        """Make a new key pair, kept under `name`.

        Raises:
            CommandError: as all methods do when cosign fails, or finds no signature by this key.
        """
        self._tools = tools
        prefix = tools.directory / name
        self.key, self.public_key = Path(f"{prefix}.key"), Path(f"{prefix}.pub")
        self._cosign("generate-key-pair", f"--output-key-prefix={prefix}")

    def sign(self, artifact: str) -> None:
        """Put a signature of the artifact beside it in its registry."""
        self._cosign("sign", f"--key={self.key}", _NO_LOG, _PLAIN_HTTP, "--yes", artifact)

    def verify(self, artifact: str) -> None:
        """Prove that this key signed the artifact."""
        self._cosign("verify", f"--key={self.public_key}", _NO_LOG_NEEDED, _PLAIN_HTTP, artifact)

    def attest(self, artifact: str, *, kind: str, predicate: Path) -> None:
        """Sign what `predicate` says of the artifact; `kind` is ``spdxjson`` or ``slsaprovenance1``."""
        words = (f"--key={self.key}", _NO_LOG, _PLAIN_HTTP, "--yes", f"--type={kind}")
        self._cosign("attest", *words, f"--predicate={predicate}", artifact)

    def verify_attestation(self, artifact: str, *, kind: str) -> None:
        """Prove that this key signed a statement of that kind about the artifact."""
        words = (f"--key={self.public_key}", _NO_LOG_NEEDED, _PLAIN_HTTP, f"--type={kind}")
        self._cosign("verify-attestation", *words, artifact)

    def attest_file(self, path: Path, *, kind: str, predicate: Path) -> Path:
        """Write the signed statement about a file beside it, as a bundle, and give that one's path."""
        bundle = path.with_name(f"{path.name}{BUNDLE_SUFFIX}")
        words = (f"--key={self.key}", _NO_LOG, "--yes", f"--type={kind}", f"--predicate={predicate}")
        self._cosign("attest-blob", *words, "--new-bundle-format", f"--bundle={bundle}", path)
        return bundle

    def verify_file(self, path: Path, bundle: Path, *, kind: str) -> None:
        """Prove that this key signed the statement in `bundle` about just this file."""
        # Nobody is trusted but the key; without a file that says so, cosign would fetch the public one.
        root = self._tools.directory / "trusted-root.json"
        root.write_text('{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
        words = (f"--key={self.public_key}", _NO_LOG_NEEDED, f"--type={kind}", f"--trusted-root={root}")
        self._cosign("verify-blob-attestation", *words, "--new-bundle-format", f"--bundle={bundle}", path)

    def _cosign(self, *arguments: str | Path) -> None:
        self._tools.run("cosign", *arguments, environment=_PASSWORD)
