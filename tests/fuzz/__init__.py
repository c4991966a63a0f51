"""Mutated answers of the metadata service against the parser and the state: see ``docs/fuzzing.md``."""
