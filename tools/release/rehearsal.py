"""``make release-dry-run``: a release from the sources to an installation, on this machine alone.

Everything is done for real against a registry on loopback and in a temporary folder. What only the
release workflow can do is left out: signing without a key, and the image for arm64.
"""

import datetime as dt
import hashlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from tests.e2e.harness.system import run
from tools.release import bill, chart, installation
from tools.release.image import ImageStore
from tools.release.installation import Published
from tools.release.programs import Tools
from tools.release.provenance import Source, predicate
from tools.release.signing import BUNDLE_SUFFIX, Signer, must_fail
from tools.release.version import CHECKOUT, IMAGE, Version, disagreements
from tools.wheel import build_wheel

REPOSITORY = "https://localhost/azure-lb-metadata"
BUILDER = "https://localhost/azure-lb-metadata/release-dry-run"
PROVENANCE, BILL = "slsaprovenance1", "spdxjson"
"""What cosign calls the kinds of statement."""

STEPS = 12


class RehearsalError(Exception):
    """A step ended with another result than a release must have."""


@dataclass(frozen=True)
class Step:
    """One step that was done."""

    name: str
    result: str
    seconds: float


@dataclass
class Report:
    """What was done; as JSON it is the summary for machines."""

    version: str
    commit: str
    installed_on: str
    """``cluster``, or ``api-server`` when there could be no cluster."""

    steps: list[Step] = field(default_factory=list)
    artifacts: dict[str, str] = field(default_factory=dict)
    """Digest by name: of files, and of what was in the registry."""

    complete: bool = False

    def text(self) -> str:
        """The report as JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"


def sha256(path: Path) -> str:
    """The digest of a file."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


class Rehearsal:
    """One release of `version` to the registry called `registry`; `all_steps` does it."""

    def __init__(self, tools: Tools, version: Version, registry: str, report: Report) -> None:
        """Nothing is done yet."""
        self._tools = tools
        self._version = version
        self._report = report
        self._statement = tools.directory / "provenance.json"
        self._artifacts = tools.directory / "artifacts"
        self._image = f"{registry}/{IMAGE}"
        self._charts = f"{registry}/charts"
        self._pulled_image = tools.directory / "image.tar"
        self._image_digest = ""
        self._chart_digest = ""

    @property
    def image(self) -> str:
        """The image in the registry, by digest."""
        return f"{self._image}@{self._image_digest}"

    @property
    def chart(self) -> str:
        """The chart in the registry, by digest."""
        return f"{self._charts}/{IMAGE}@{self._chart_digest}"

    @property
    def tagged_image(self) -> str:
        """The image as the chart names it."""
        return f"{self._image}:{self._version}"

    def all_steps(self) -> None:
        """Do every step in order, and print and note each.

        Raises:
            RehearsalError: a result is not as it must be; other errors as the parts raise them.
        """
        self._step("version and changelog agree", self._check)
        self._step("wheel and source distribution", self._wheel)
        self._step("image built", self._build_image)
        self._step("image pushed", self._push_image)
        self._step("chart packaged and pushed", self._push_chart)
        self._step("bills of materials", self._bills)
        signer = Signer(self._tools, "release")
        self._step("signed", lambda: self._sign(signer))
        self._step("attested", lambda: self._attest(signer))
        self._step("verified", lambda: self._verify(signer))
        self._step("forgeries refused", lambda: self._refuse(signer))
        self._step("image and chart pulled", self._pull)
        self._step(f"helm install on the {self._report.installed_on}", self._install)
        self._report.complete = True

    def _step(self, name: str, act: Callable[[], str]) -> None:
        number = len(self._report.steps) + 1
        print(f"[{number:2}/{STEPS}] {name}", flush=True)
        started = time.monotonic()
        result = act()
        step = Step(name, result, round(time.monotonic() - started, 1))
        self._report.steps.append(step)
        print(f"        {step.seconds:6.1f} s  {result}", flush=True)

    def _check(self) -> str:
        if wrong := disagreements():
            raise RehearsalError("; ".join(wrong))
        tags = " and ".join(self._version.image_tags)
        return f"{self._version}, the image tagged {tags}"

    def _wheel(self) -> str:
        self._artifacts.mkdir()
        build_wheel(self._artifacts)
        names = sorted(path.name for path in self._artifacts.iterdir())
        wanted = [
            f"azure_lb_metadata-{self._version}-py3-none-any.whl",
            f"azure_lb_metadata-{self._version}.tar.gz",
        ]
        if names != wanted:
            raise RehearsalError(f"built were {', '.join(names)}")
        self._report.artifacts |= {name: sha256(self._artifacts / name) for name in names}
        return ", ".join(names)

    def _build_image(self) -> str:
        store = ImageStore(self._tools, "build-store")
        store.build(self.tagged_image, version=str(self._version), revision=self._report.commit)
        return self.tagged_image

    def _push_image(self) -> str:
        store = ImageStore(self._tools, "build-store")
        digests = {store.push(self.tagged_image, f"{self._image}:{tag}") for tag in self._version.image_tags}
        if len(digests) != 1:
            raise RehearsalError(f"the tags name {len(digests)} images")
        (self._image_digest,) = digests
        self._report.artifacts["image"] = self._image_digest
        return self.image

    def _push_chart(self) -> str:
        prepared = chart.prepare(self._image, self._tools.directory / "chart")
        archive = chart.package(self._tools, prepared, self._artifacts)
        self._chart_digest = chart.push(self._tools, archive, self._charts)
        self._report.artifacts |= {archive.name: sha256(archive), "chart": self._chart_digest}
        return self.chart

    def _bills(self) -> str:
        (wheel,) = self._artifacts.glob("*.whl")
        bills = {
            "image": bill.of_image(self._tools, self.image, "image"),
            "wheel": bill.of_wheel(self._tools, wheel),
        }
        for name, path in bills.items():
            if absent := bill.absent(path, version=str(self._version)):
                raise RehearsalError(f"the {name}'s bill of materials lacks {absent}")
        counts = {name: len(json.loads(path.read_text())["packages"]) for name, path in bills.items()}
        return ", ".join(f"{count} packages in the {name}" for name, count in counts.items())

    def _sign(self, signer: Signer) -> str:
        signer.sign(self.image)
        signer.sign(self.chart)
        return "image and chart, by a key made for this run, without a transparency log"

    def _attest(self, signer: Signer) -> str:
        source = Source(REPOSITORY, self._report.commit, self._version.git_tag)
        finished = dt.datetime.now(dt.UTC)
        said = predicate(source, BUILDER, invocation=f"{BUILDER}/{uuid.uuid4()}", finished=finished)
        self._statement.write_text(json.dumps(said))
        for artifact in (self.image, self.chart):
            signer.attest(artifact, kind=PROVENANCE, predicate=self._statement)
        signer.attest(self.image, kind=BILL, predicate=self._tools.directory / "image.spdx.json")
        files = sorted(self._artifacts.iterdir())
        for path in files:
            signer.attest_file(path, kind=PROVENANCE, predicate=self._statement)
        return f"provenance of image, chart and {len(files)} files, bill of materials of the image"

    def _verify(self, signer: Signer) -> str:
        for artifact in (self.image, self.chart):
            signer.verify(artifact)
            signer.verify_attestation(artifact, kind=PROVENANCE)
        signer.verify_attestation(self.image, kind=BILL)
        bundles = self._bundles()
        for path, bundle in bundles.items():
            signer.verify_file(path, bundle, kind=PROVENANCE)
        return f"2 signatures, {3 + len(bundles)} attestations"

    def _refuse(self, signer: Signer) -> str:
        stranger = Signer(self._tools, "stranger")
        for artifact in (self.image, self.chart):
            must_fail(partial(stranger.verify, artifact), artifact)
        forged = self._tools.directory / "forged"
        for path, bundle in self._bundles().items():
            forged.write_bytes(path.read_bytes() + b"!")
            must_fail(partial(signer.verify_file, forged, bundle, kind=PROVENANCE), path.name)
        return "a stranger's key, and files with a byte more"

    def _bundles(self) -> dict[Path, Path]:
        bundles = sorted(self._artifacts.glob(f"*{BUNDLE_SUFFIX}"))
        return {bundle.with_name(bundle.name.removesuffix(BUNDLE_SUFFIX)): bundle for bundle in bundles}

    def _pull(self) -> str:
        version = str(self._version)
        pulled = chart.pull(self._tools, f"{self._charts}/{IMAGE}", version, self._tools.directory / "pulled")
        if sha256(pulled) != self._report.artifacts[pulled.name]:
            raise RehearsalError("the chart that was pulled is another one than was pushed")
        store = ImageStore(self._tools, "pull-store")
        labels = store.pull(self.image)
        wanted = {"version": str(self._version), "revision": self._report.commit}
        found = {key: labels.get(f"org.opencontainers.image.{key}") for key in wanted}
        if found != wanted:
            raise RehearsalError(f"the image's labels say {found}")
        if (told := store.tell_version(self.image)) != f"{IMAGE} {self._version}":
            raise RehearsalError(f"the program in the image says {told!r}")
        store.save(self.image, self.tagged_image, self._pulled_image)
        return f"the same chart, and an image whose program says {told}"

    def _install(self) -> str:
        published = Published(f"{self._charts}/{IMAGE}", str(self._version), self.tagged_image)
        if self._report.installed_on == "cluster":
            return installation.on_cluster(published, self._pulled_image)
        return installation.on_api_server(published, self._tools)


def commit() -> str:
    """The commit of the checkout, with ``-dirty`` when files under version control differ from it."""
    return run("git", "-C", CHECKOUT, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty").strip()
