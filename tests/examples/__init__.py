"""Everything in ``examples/`` and on the page of recipes, run."""
