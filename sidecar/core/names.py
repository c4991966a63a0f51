"""Names that Kubernetes allows."""

import re

__all__ = ["NODE_NAME"]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
NODE_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
"""What a Node can be called, or anything else whose name is a DNS subdomain.

https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names
"""
