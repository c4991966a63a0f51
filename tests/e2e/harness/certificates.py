"""The cluster's own certificate authority and what it signs, made with the program openssl."""

from pathlib import Path

from tests.e2e.harness.system import run

VALID_DAYS = "30"


class Authority:
    """A certificate authority of the cluster; keys and certificates lie beside each other as PEM files."""

    def __init__(self, directory: Path) -> None:
        """Make the authority in `directory`, which is made as well."""
        self.directory = directory
        directory.mkdir(parents=True)
        self.certificate = directory / "ca.crt"
        run(*self._request("ca"), "-subj", "/CN=azure-lb-metadata-e2e", "-x509", "-out", self.certificate)

    def key(self, name: str) -> Path:
        """Where the private key called `name` is."""
        return self.directory / f"{name}.key"

    def sign(
        self,
        name: str,
        *,
        subject: str,
        addresses: tuple[str, ...] = (),
        names: tuple[str, ...] = ("kubernetes.default.svc",),
    ) -> Path:
        """Make a key and a certificate called `name`; the certificate's path.

        `subject` is as openssl writes it (``/O=…/CN=…``); a server is reached by `addresses` and `names`.
        """
        certificate = self.directory / f"{name}.crt"
        reached_by = [*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)]
        run(
            *self._request(name), "-subj", subject, "-x509", "-out", certificate,
            "-CA", self.certificate, "-CAkey", self.key("ca"),
            "-addext", "basicConstraints=critical,CA:false",
            "-addext", "extendedKeyUsage=serverAuth,clientAuth",
            "-addext", f"subjectAltName={','.join(reached_by)}",
        )  # fmt: skip  # option and value on one line
        return certificate

    def _request(self, name: str) -> tuple[str | Path, ...]:
        return (
            "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", VALID_DAYS, "-keyout", self.key(name),
        )  # fmt: skip  # option and value on one line
