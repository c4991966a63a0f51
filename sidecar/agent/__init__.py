"""One agent: its parts, its tasks, and its end in stages."""

from sidecar.agent.agent import Agent, Listening

__all__ = ["Agent", "Listening"]
