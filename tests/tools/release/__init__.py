"""The release path: what a release is called, whether all agree on that, and a rehearsal of it."""
