"""End-to-end tests: the chart and the image on a real cluster of two nodes."""
