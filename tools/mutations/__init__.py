"""Promises that are broken on purpose, to see that tests notice."""
