"""The file publisher: the document as JSON, and ``KEY=value`` lines beside it."""

import asyncio
import contextlib
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from sidecar.core.addresses import IPAddress
from sidecar.core.annotations import canonical_document
from sidecar.core.document import canonical_bytes
from sidecar.core.environment import print_variables, variables
from sidecar.core.instant import Instant, parse_rfc3339
from sidecar.core.outcome import Status
from sidecar.core.representation import load_balancer
from sidecar.core.state import Found, Snapshot
from sidecar.publish import PublishError, Turn

__all__ = ["FilePublisher"]
