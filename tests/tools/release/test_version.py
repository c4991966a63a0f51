"""One version everywhere: what disagrees is named, and only then."""

import shutil
from pathlib import Path

import pytest

from tools.release.version import CHECKOUT, IMAGE, Version, VersionError, disagreements, parsed

VERSION = parsed("1.4.0")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose every place says 1.4.0, as the program does."""
    monkeypatch.setattr("sidecar.__version__", str(VERSION))
    chart = tmp_path / "charts" / IMAGE
    for folder in (chart, tmp_path / "manifests", tmp_path / "examples" / "one"):
        folder.mkdir(parents=True)
    (chart / "Chart.yaml").write_text("version: 1.4.0\nappVersion: 1.4.0\n")
    (chart / "values.yaml").write_text('image:\n  repository: azure-lb-metadata\n  tag: ""\n')
    (tmp_path / "manifests" / "agent.yaml").write_text("  image: azure-lb-metadata:1.4.0\n")
    (tmp_path / "examples" / "one" / "pod.yaml").write_text(
        "- image: azure-lb-metadata:1.4.0\n- image: b:1\n"
    )
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [1.4.0] - 2026-03-01\n\n### Added\n\n- It.\n")
    return tmp_path


def test_this_checkout_agrees() -> None:
    """Chart, values, manifests, examples and changelog name the version of the program."""
    assert disagreements() == []


def test_sound_checkout_agrees(checkout: Path) -> None:
    """Nothing is said of a checkout that is ready to be released."""
    assert disagreements("v1.4.0", checkout) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        (
            "charts/azure-lb-metadata/Chart.yaml",
            "\nappVersion: 1.4.0",
            "\nappVersion: 1.3.9",
            "appVersion is 1.3.9",
        ),
        ("charts/azure-lb-metadata/Chart.yaml", "version: 1.4.0\n", "version: 2.0.0\n", "version is 2.0.0"),
        ("charts/azure-lb-metadata/values.yaml", '""', "1.4.0", "image.tag is 1.4.0, wanted is none"),
        ("manifests/agent.yaml", "1.4.0", "1.3.0", "manifests/agent.yaml: the image's tag is 1.3.0"),
        ("examples/one/pod.yaml", "1.4.0", "1.3.0", "examples/one/pod.yaml: the image's tag is 1.3.0"),
        ("CHANGELOG.md", "[1.4.0]", "[1.3.0]", "the newest version is 1.3.0, wanted is 1.4.0"),
        ("CHANGELOG.md", "2026-03-01", "Unreleased", "1.4.0 is not called released"),
        ("CHANGELOG.md", "## [1.4.0]", "## 1.4.0", "is not of the form"),
    ],
)
def test_each_place_is_looked_at(checkout: Path, path: str, old: str, new: str, said: str) -> None:
    """A place that disagrees is named with what it says; no other is."""
    place = checkout / path
    assert old in place.read_text()
    place.write_text(place.read_text().replace(old, new, 1))
    (sentence,) = disagreements("v1.4.0", checkout)
    assert said in sentence


def test_missing_changelog(checkout: Path) -> None:
    """Without a changelog nothing is released."""
    (checkout / "CHANGELOG.md").unlink()
    (sentence,) = disagreements(None, checkout)
    assert "No such file" in sentence


@pytest.mark.parametrize("tag", ["1.4.0", "v1.4", "v1.4.1", "V1.4.0", ""])
def test_other_tag(checkout: Path, tag: str) -> None:
    """Only the tag of this very version releases it."""
    assert disagreements(tag, checkout) == [f"the tag is {tag}, wanted is v1.4.0"]


def test_unreleased_version_may_be_worked_on(checkout: Path) -> None:
    """Between releases the newest entry has no date."""
    changelog = checkout / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("2026-03-01", "Unreleased"))
    assert disagreements(None, checkout) == []


def test_tags() -> None:
    """An image has its version's tag and its minor version's, and never ``latest``."""
    assert parsed("0.12.3") == Version(0, 12, 3)
    assert parsed("0.12.3").image_tags == ("0.12.3", "0.12")
    assert parsed("0.12.3").git_tag == "v0.12.3"


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.3rc1", "1.2.3.dev0", "v1.2.3", "1.2.3\n"]
)
def test_no_version(text: str) -> None:
    """What cannot be a version of wheel, image and chart alike is refused."""
    with pytest.raises(VersionError, match="no version of the form"):
        parsed(text)


def test_version_of_the_program_must_be_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A development version in the program is refused before anything is looked at."""
    monkeypatch.setattr("sidecar.__version__", "1.4.0.dev1")
    with pytest.raises(VersionError):
        disagreements(None, tmp_path)


def test_rendered_manifests_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifests and examples of this checkout name the image, and are looked at."""
    for folder in ("manifests", "examples", "charts"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder)
    shutil.copy(CHECKOUT / "CHANGELOG.md", tmp_path)
    monkeypatch.setattr("sidecar.__version__", "9.9.9")
    said = "\n".join(disagreements(None, tmp_path))
    for place in ("manifests/daemonset.yaml", "manifests/sidecar.yaml", "examples/init-container/pod.yaml"):
        assert f"{place}: the image's tag is" in said
