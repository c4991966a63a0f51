"""Tests of what makes and measures the project."""
