"""What the generator of the site (mkdocs.yml) is told: the pages of the checkout, under their own paths.

A page links to others as the repository lays them out, also to those outside of docs/. So the site has
the same layout, and a link is right in both or in neither.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

CHECKOUT = Path(__file__).resolve().parents[2]
# The generator loads this file by its path.
sys.path.insert(0, str(CHECKOUT))

from tests.docs.pages import PAGES, links  # noqa: E402

_NOT_SHOWN = CHECKOUT / "tests"
"""Pages about files of tests, for those who read the code."""


def shown() -> list[Path]:
    """The pages of the site."""
    return [page for page in PAGES if not page.is_relative_to(_NOT_SHOWN)]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the pages of the checkout, and the files that they link to, in place of those of docs/."""
    docs = Path(config.docs_dir)
    theme = [file for file in files if not Path(file.abs_src_path or "/").is_relative_to(docs)]
    styles = [CHECKOUT / str(name) for name in config.extra_css]
    ours = [_file(path, config) for path in sorted({*shown(), *_linked(), *styles})]
    listings = [_listing(folder, config) for folder in sorted(_folders())]
    return Files([*theme, *ours, *listings])


def _file(path: Path, config: MkDocsConfig) -> File:
    return File.generated(config, path.relative_to(CHECKOUT).as_posix(), abs_src_path=str(path))


def _linked() -> Iterator[Path]:
    """Files that are no pages, such as pictures and manifests, and those in linked folders."""
    for path in {link.path for page in shown() for link in links(page) if not link.external}:
        if path.is_file() and path.suffix != ".md":
            yield path
    for folder in _folders():
        yield from _members(folder)


def _folders() -> set[Path]:
    """Linked folders that have no page of their own."""
    targets = {link.path for page in shown() for link in links(page) if not link.external}
    return {path for path in targets if path.is_dir() and not (path / "README.md").exists()}


def _members(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _listing(folder: Path, config: MkDocsConfig) -> File:
    """A page that lists the files of a folder."""
    name = folder.relative_to(CHECKOUT).as_posix()
    lines = [f"# {name}", "", *(f"- [{path.name}]({path.name})" for path in _members(folder)), ""]
    file = File.generated(config, f"{name}/README.md", content="\n".join(lines))
    file.inclusion = file.inclusion.NOT_IN_NAV
    return file
