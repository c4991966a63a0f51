"""The status page: rendered here, without any asset from elsewhere, and complete without scripts."""

from sidecar.api.page.rendering import HEADERS, render

__all__ = ["HEADERS", "render"]
