"""How hard the property tests of the core try."""

from hypothesis import settings

# Enough to meet every rule of the small domains in `strategies.py`, and a few seconds in all. No
# deadline: how fast a shared machine is says nothing about the code.
settings.register_profile("core", max_examples=100, stateful_step_count=40, deadline=None, print_blob=True)
settings.load_profile("core")
