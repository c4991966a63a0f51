"""The program with rounds of egress probes two seconds apart: its own process, as ``python -m``.

By its contract a round starts at least a minute after the last one, whatever the settings are, and what a
test waits for takes several rounds. Nothing else differs; ``tests/agent/test_egress_observer.py`` shows the
distance of rounds in virtual time.
"""

from sidecar.__main__ import main
from sidecar.core.egress import RoundPolicy

DISTANCE_S = 2.0


def soon(_: RoundPolicy, started: float, ended: float, *, fraction: float) -> float:
    """When the next round starts: its distance after the start of the last, and not before its end."""
    del fraction
    return max(started + DISTANCE_S, ended)


if __name__ == "__main__":
    RoundPolicy.next_at = soon  # type: ignore[assignment, method-assign]
    main()
