"""A seeded random sequence of faults on an agent, watched by a model of what the rules allow."""
