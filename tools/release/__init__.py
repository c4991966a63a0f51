"""A release, and its rehearsal on one machine."""
