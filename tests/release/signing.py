"""cosign with a key pair of its own and no transparency log: all that can be done without a network."""

from pathlib import Path

from tests.e2e.harness.system import CommandError
from tests.release.tools import Tools

__all__ = ["NotRefusedError", "Signer"]

_PASSWORD = {"COSIGN_PASSWORD": "only-for-this-run"}
_NO_LOG = "--tlog-upload=false"
_NO_LOG_NEEDED = "--insecure-ignore-tlog=true"
_PLAIN_HTTP = "--allow-http-registry"


class NotRefusedError(Exception):
    """A signature was taken that must not be: the check of signatures checks nothing."""


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

    def sign_file(self, path: Path) -> Path:
        """Write a signature of the file beside it, and give its path."""
        signature = path.with_name(f"{path.name}.sig")
        words = (f"--key={self.key}", _NO_LOG, "--yes", f"--output-signature={signature}")
        self._cosign("sign-blob", *words, path)
        return signature

    def verify_file(self, path: Path, signature: Path) -> None:
        """Prove that this key signed the file."""
        words = (f"--key={self.public_key}", _NO_LOG_NEEDED, f"--signature={signature}")
        self._cosign("verify-blob", *words, path)

    def must_not_have_signed(self, artifact: str) -> None:
        """Prove that the artifact is refused by those who trust this key alone.

        Raises:
            NotRefusedError: it is not.
        """
        try:
            self.verify(artifact)
        except CommandError:
            return
        raise NotRefusedError(f"{artifact} is taken for signed by {self.public_key.name}")

    def _cosign(self, *arguments: str | Path) -> None:
        self._tools.run("cosign", *arguments, environment=_PASSWORD)
