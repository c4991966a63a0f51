"""The suites with each version of Python, Kubernetes and Helm."""
