"""What the places that name the version say, and the names a release has elsewhere.

The version stands in ``sidecar/__init__.py``. The chart, the rendered manifests, the examples and the
changelog name it too; ``python -m tools.release check`` says which of them disagree.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

import sidecar
from tools.release.changelog import ChangelogError, read

CHECKOUT = Path(__file__).resolve().parents[2]
IMAGE = "azure-lb-metadata"
_FORM = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_IMAGE_REFERENCE = re.compile(rf"image: (?:\S+/)?{IMAGE}:(\S+)")


class VersionError(ValueError):
    """A text is not a version that can be released."""


@dataclass(frozen=True)
class Version:
    """A version that can be released; the wheel, the image and the chart have the same."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        """As Python packages and Helm both write it."""
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def git_tag(self) -> str:
        """The tag that releases it."""
        return f"v{self}"

    @property
    def image_tags(self) -> tuple[str, ...]:
        """The image's tags: its own, and that of its minor version.

        There is no ``latest``: what a cluster runs must not change by itself from one minor version
        to the next.
        """
        return (str(self), f"{self.major}.{self.minor}")


def parsed(text: str) -> Version:
    """The version that `text` is.

    Raises:
        VersionError: it is none, or one that is never released, like ``0.2.0.dev1``.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise VersionError(f"{text!r} is no version of the form 1.2.3")
    return Version(*map(int, found.groups()))


def disagreements(tag: str | None = None, checkout: Path = CHECKOUT) -> list[str]:
    """One sentence for each place that does not agree with ``sidecar.__version__``.

    With `tag`, the Git tag of a release, that is held against it as well, and the changelog must say
    when the version was released.

    Raises:
        VersionError: ``sidecar.__version__`` itself is no version.
    """
    version = parsed(sidecar.__version__)
    return [
        *_of_chart(version, checkout),
        *_of_images(version, checkout),
        *_of_changelog(version, checkout / "CHANGELOG.md", released=tag is not None),
        *([f"the tag is {tag}, wanted is {version.git_tag}"] if tag not in (None, version.git_tag) else []),
    ]


def _of_chart(version: Version, checkout: Path) -> Iterator[str]:
    chart = yaml.safe_load((checkout / "charts" / IMAGE / "Chart.yaml").read_text())
    for key in ("version", "appVersion"):
        if chart[key] != str(version):
            yield f"Chart.yaml: {key} is {chart[key]}, wanted is {version}"
    tag = yaml.safe_load((checkout / "charts" / IMAGE / "values.yaml").read_text())["image"]["tag"]
    if tag:
        yield f"values.yaml: image.tag is {tag}, wanted is none, which stands for appVersion"


def _of_images(version: Version, checkout: Path) -> Iterator[str]:
    for folder in ("manifests", "examples"):
        for path in sorted((checkout / folder).rglob("*.yaml")):
            for tag in sorted(set(_IMAGE_REFERENCE.findall(path.read_text())) - {str(version)}):
                yield f"{path.relative_to(checkout)}: the image's tag is {tag}, wanted is {version}"


def _of_changelog(version: Version, path: Path, *, released: bool) -> Iterator[str]:
    try:
        sections = read(path.read_text())
    except (OSError, ChangelogError) as error:
        yield f"CHANGELOG.md: {error}"
        return
    newest = sections[0] if sections else None
    if newest is None or newest.name != str(version):
        yield f"CHANGELOG.md: the newest version is {newest and newest.name}, wanted is {version}"
    elif released and newest.date is None:
        yield f"CHANGELOG.md: {newest.name} is not called released"
