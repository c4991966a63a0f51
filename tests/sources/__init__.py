"""Tests of where the document comes from."""
