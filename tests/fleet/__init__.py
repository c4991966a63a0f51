"""What the agents of a cluster published, seen all at once."""
