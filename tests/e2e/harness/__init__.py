"""A real Kubernetes cluster on one Linux machine: kubelets and containerd in namespaces of their own."""
