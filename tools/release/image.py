"""The image of a release: built by the Dockerfile with buildah, pushed, and taken from the registry again."""

import json
from pathlib import Path

from tests.e2e.harness.images import (
    BUILDAH_ENVIRONMENT,
    SLOW_DEADLINE_S,
    Builder,
    build_of_project,
    buildah,
    cache_directory,
)
from tools.release.programs import Tools


class ImageStore:
    """A storage of buildah's in a folder of its own; every method raises CommandError when buildah fails."""

    def __init__(self, tools: Tools, name: str) -> None:
        """The storage is empty."""
        self._tools = tools
        self._directory = tools.directory / name

    def build(self, reference: str, *, version: str, revision: str) -> None:
        """Build the image as `reference`, on the base of the end-to-end tests and without the network.

        What is not in the user's cache yet, the base and the packages, is fetched first.
        """
        builder = Builder(cache_directory())
        base, packages = builder.base(), builder.packages()
        self._buildah("pull", "--quiet", f"oci-archive:{base}")
        self._buildah(*build_of_project(reference, packages, REVISION=revision, VERSION=version))

    def push(self, reference: str, destination: str) -> str:
        """Push the image to a registry as `destination`, and give its digest there."""
        digest = self._tools.directory / "image.digest"
        words = ("--tls-verify=false", f"--digestfile={digest}")
        self._buildah("push", *words, reference, f"docker://{destination}")
        return digest.read_text().strip()

    def pull(self, reference: str) -> dict[str, str]:
        """Pull an image, and give its labels."""
        self._buildah("pull", "--quiet", "--tls-verify=false", f"docker://{reference}")
        labels: dict[str, str] = json.loads(self._buildah("inspect", "--type=image", reference))["OCIv1"][
            "config"
        ]["Labels"]
        return labels

    def tell_version(self, reference: str) -> str:
        """What the program in an image that was pulled says of its version."""
        container = self._buildah("from", "--pull-never", reference).strip()
        try:
            return self._buildah("run", container, "--", "azure-lb-metadata", "--version").strip()
        finally:
            self._buildah("rm", container)

    def save(self, reference: str, name: str, archive: Path) -> None:
        """Write an image that was pulled to an archive which calls it `name`."""
        self._buildah("push", reference, f"oci-archive:{archive}:{name}")

    def _buildah(self, *arguments: str) -> str:
        return self._tools.run(
            *buildah(self._directory),
            *arguments,
            environment=BUILDAH_ENVIRONMENT,
            deadline_s=SLOW_DEADLINE_S,
        )
