"""Open files: as many as the machine allows, and how many clients these are enough for."""

import resource

__all__ = ["clients_within", "raise_limit"]

_RESERVED = 64 + 128 + 2 * 64
"""For the agent's own files and connections, the admin listener, and refusals on both listeners."""


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one, as Go does, and give what is in force then.

    containerd 2 starts containers with a soft limit of 1,024 (containerd/containerd#8924).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # no more than the kernel's own bound, or a filter of system calls
            return soft
    return hard


def clients_within(limit: int, wanted: int) -> int:
    """How many of the clients that are wanted can be connected within a limit of open files; at least 1."""
    if limit == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, limit - _RESERVED))
