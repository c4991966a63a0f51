"""Measurements: each module prints figures of one run on one machine, and asserts nothing."""
