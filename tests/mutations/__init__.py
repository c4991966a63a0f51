"""Promises of the design, broken one at a time: the tests of each must notice."""
