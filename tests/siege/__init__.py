"""An agent and a sidecar under attack, in control groups of as much memory as the chart gives them."""
