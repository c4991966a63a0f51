"""The catalogue of faults: collected from the marks of the tests, written to docs/faults.md."""
