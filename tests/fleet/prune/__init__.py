"""Tests of `prune`, on a cluster that is a fake."""
