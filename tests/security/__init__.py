"""Attacks on the agent, one module for each way in; ``docs/security.md`` has the claims."""
