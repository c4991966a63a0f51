"""Tests of `nodes`, against real API servers."""
