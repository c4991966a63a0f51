"""Tests of the pure core: values and decisions, without event loop, network or clock."""
