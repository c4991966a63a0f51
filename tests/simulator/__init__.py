"""Tests of the simulator of the metadata service."""
