"""The commands about many nodes: `nodes`, `rules` and `prune`."""
