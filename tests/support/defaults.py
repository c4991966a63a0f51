"""The defaults of the agent's settings."""

from sidecar.settings import Settings


def default(setting: str) -> float:
    """The default of a setting that is a duration, in seconds.

    Raises:
        TypeError: it is no duration.
    """
    value = Settings.model_fields[setting].default
    if not isinstance(value, int | float):
        raise TypeError(f"{setting} is no duration")
    return float(value)
