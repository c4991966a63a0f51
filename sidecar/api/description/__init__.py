"""The OpenAPI document, made at build time from the tables that answer requests and the shapes of answers.

``python -m sidecar.api.description`` prints ``sidecar/api/openapi.json``, whose bytes the agent
serves; it does not import this.
"""

from sidecar.api.description.document import describe

__all__ = ["describe"]
