"""Write docs/doctor.md from the causes and a frame of prose: ``make doctor-docs``."""

from pathlib import Path
from string import Template

from sidecar.doctor.causes import CAUSES, Cause
from sidecar.doctor.replies import VENDOR_ERRORS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "doctor.md"
_FRAME = Path(__file__).with_name("doctor.md")


def page() -> str:
    """The page as it should be."""
    causes = CAUSES.values()
    rows = (
        f"| {row.status} | {row.message} | [{row.cause}](#{row.cause}) | {row.mitigation} |"
        for row in VENDOR_ERRORS
    )
    return Template(_FRAME.read_text()).substitute(
        names="\n".join(f"- [{cause.name}](#{cause.name}): {cause.summary}" for cause in causes),
        sections="\n\n".join(map(_section, causes)),
        errors="\n".join(rows),
    )


def _section(cause: Cause) -> str:
    paragraphs = [f"### {cause.name}", cause.summary, f"Seen by: {cause.seen}", f"Remedy: {cause.remedy}"]
    if cause.source:
        paragraphs.append(f"Source: {cause.source}.")
    return "\n\n".join(paragraphs)


if __name__ == "__main__":
    PAGE.write_text(page())
