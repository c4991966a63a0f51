"""An agent that runs for very long: nothing of it may grow. See ``docs/fuzzing.md``."""
