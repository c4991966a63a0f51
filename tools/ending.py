"""How a program of the developers ends: with an exit code, and in order when it is told to stop."""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn


def exit_with(main: Callable[[], int]) -> NoReturn:
    """Exit with what `main` gives; SIGTERM is taken as Ctrl-C, so that what was begun is taken away."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
