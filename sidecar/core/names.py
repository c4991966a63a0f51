"""Names that Kubernetes allows."""

import re
from typing import TypeGuard

__all__ = ["SUBDOMAIN", "is_node_name"]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
"""What is a DNS subdomain.

https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names
"""


def is_node_name(value: object) -> TypeGuard[str]:
    """Whether a value that somebody else wrote can be the name of a Node, or of anything named so."""
    return isinstance(value, str) and SUBDOMAIN.fullmatch(value) is not None
