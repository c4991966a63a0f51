"""The pure part: values and decisions, without clock, network, event loop or logging.

Everything here is a frozen value or a function of its arguments; what depends on time takes ``now``.
"""
