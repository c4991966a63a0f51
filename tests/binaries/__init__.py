"""The programs of a Kubernetes control plane that the tests run against, built from source."""
