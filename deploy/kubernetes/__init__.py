"""The system on Kubernetes: docs/kubernetes.md."""
