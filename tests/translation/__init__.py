"""Where a node's traffic leaves from, against real address translation: three network namespaces."""
