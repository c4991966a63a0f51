"""Which form a client wants, whether it has these bytes already, and whether it waits for others."""

import re

__all__ = ["etag_matches", "media_types", "wait_preference"]

_ETAG = re.compile(r'(?:W/)?("[^"]*")\s*(?:,|$)')
_WAIT = re.compile(r'\s*wait\s*=\s*("?)([0-9]+)\1\s*(?:;.*)?', re.IGNORECASE)
_LONGEST = 10**9
"""Seconds that stand for any more."""

_ZERO = re.compile(r"0(\.0{0,3})?")


def media_types(accept: str) -> frozenset[str]:
    """The media types that an ``Accept`` header names, in lower case, without those of weight 0."""
    ranges = (entry.partition(";") for entry in accept.lower().split(","))
    return frozenset(
        name.strip() for name, _, parameters in ranges if name.strip() and not _refused(parameters)
    )


def _refused(parameters: str) -> bool:
    pairs = (parameter.partition("=") for parameter in parameters.split(";"))
    return any(name.strip() == "q" and _ZERO.fullmatch(value.strip()) for name, _, value in pairs)


def etag_matches(if_none_match: str, etag: str) -> bool:
    """Whether ``If-None-Match`` names a strong ETag (with its quotes), by the weak comparison of RFC 9110.

    What is not a list of ETags matches nothing.
    """
    if if_none_match in (etag, "*"):
        return True
    return etag in _ETAG.findall(if_none_match)


def wait_preference(prefer: str) -> int | None:
    """The seconds of the preference ``wait`` (RFC 7240) in a ``Prefer`` header, the first one if repeated.

    Preferences that are not understood count for nothing.
    """
    found = (_WAIT.fullmatch(preference) for preference in prefer.split(","))
    digits = next((match[2].lstrip("0") or "0" for match in found if match is not None), None)
    # Nobody waits for longer than that: the digits may be more than an integer may be read from.
    return None if digits is None else int(digits[:9]) if len(digits) <= 9 else _LONGEST
