"""Tests of the clients of the API server."""
