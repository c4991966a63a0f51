"""Write docs/doctor.md from the causes and a frame of prose: ``make doctor-docs``."""

from pathlib import Path
from string import Template

from sidecar.doctor.causes import CAUSES
from sidecar.doctor.replies import VENDOR_ERRORS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "doctor.md"
_FRAME = Path(__file__).with_name("doctor.md")


def page() -> str:
    """The page as it should be."""
    sections = []
    for cause in CAUSES.values():
        sections += [f"### {cause.name}", cause.summary, f"Seen by: {cause.seen}", f"Remedy: {cause.remedy}"]
        if cause.source:
            sections.append(f"Source: {cause.source}.")
    rows = (
        f"| {row.status} | {row.message} | [{row.cause}](#{row.cause}) | {row.mitigation} |"
        for row in VENDOR_ERRORS
    )
    return Template(_FRAME.read_text()).substitute(
        names="\n".join(f"- [{cause.name}](#{cause.name}): {cause.summary}" for cause in CAUSES.values()),
        sections="\n\n".join(sections),
        errors="\n".join(rows),
    )


if __name__ == "__main__":
    PAGE.write_text(page())
