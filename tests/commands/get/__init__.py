"""Tests of `get`, on a host with or without an agent."""
