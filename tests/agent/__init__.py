"""Tests of the whole agent, as a process of its own."""
