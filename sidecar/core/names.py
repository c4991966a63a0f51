"""Names that Kubernetes allows."""

import re

__all__ = ["NODE_NAME", "SUBDOMAIN"]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
"""What is a DNS subdomain.

https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names
"""

NODE_NAME = SUBDOMAIN
"""What a Node can be called, or anything else with such a name."""
