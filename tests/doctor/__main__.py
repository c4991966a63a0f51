"""Writes docs/doctor.md: ``make doctor-docs``."""

from tests.doctor.page import PAGE, page

if __name__ == "__main__":
    PAGE.write_text(page())
