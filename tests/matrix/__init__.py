"""The versions of Python, Kubernetes and Helm that the project is tried with, and the page of the results."""
