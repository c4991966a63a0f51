"""The chart, rendered by the real Helm, without a cluster."""
