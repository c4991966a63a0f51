"""Generators of committed pages and files, each diffed in CI."""
