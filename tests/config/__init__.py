"""Tests of the settings of `run`."""
