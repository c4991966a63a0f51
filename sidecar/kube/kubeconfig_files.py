"""Kubeconfig files: from bytes to entries, merged; ``kubeconfig`` interprets them.

No error shows the content of a file: in a broken one, a token can stand anywhere.
"""

import codecs
import os
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic_core import from_json
from yaml import MarkedYAMLError, YAMLError, safe_load

from sidecar.kube.credentials import CONFIGURATION_ADVICE, unusable
from sidecar.kube.errors import KubeConfigError, printable

_SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes of a file: a hundred times that of a hundred clusters with their certificates."""

_BROKEN = (YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What PyYAML raises for wrong input: all but the first by stumbling (a date of month 13, `!!int ""`)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A mapping in a file. Every method raises a `KubeConfigError` if the value has another type."""

    what: str
    """What it is, for people: ``user a``."""
    values: Mapping[object, object] = field(repr=False)
    path: Path
    """Of the file, where relative paths start."""

    def has(self, *keys: str) -> bool:
        """Whether one of these keys has a value that is not empty."""
        return any(self.values.get(key) not in (None, "", False) for key in keys)

    def text(self, key: str) -> str | None:
        """A text that is not empty."""
        value = self.values.get(key)
        if value is None or value == "":
            return None
        # A zero byte can be in no argument, path or header; a lone surrogate in nothing at all.
        if not isinstance(value, str) or "\0" in value or any("\ud800" <= each <= "\udfff" for each in value):
            raise unusable(f"{self.what}: its {key} is no text")
        return value

    def texts(self, key: str) -> Sequence[str]:
        """A list of texts."""
        values = self.values.get(key)
        if values is None:
            return ()
        if not isinstance(values, list):
            raise unusable(f"{self.what}: its {key} is no list")
        return [Entry(self.what, {key: value}, self.path).text(key) or "" for value in values]

    def flag(self, key: str) -> bool:
        """A boolean; false if it is missing."""
        value = self.values.get(key)
        if not isinstance(value, bool | None):
            raise unusable(f"{self.what}: its {key} is neither true nor false")
        return bool(value)

    def mapping(self, key: str) -> Self | None:
        """A mapping under a key."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise unusable(f"{self.what}: its {key} is no mapping")
        return type(self)(f"{self.what}, {key}", value, self.path)

    def mappings(self, key: str) -> Sequence[Self]:
        """A list of mappings."""
        values = self.values.get(key)
        if values is None:
            return ()
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise unusable(f"{self.what}: its {key} is no list of mappings")
        return [type(self)(f"{self.what}, {key}", value, self.path) for value in values]

    def file(self, key: str) -> Path | None:
        """A path; a relative one starts at the folder of the kubeconfig."""
        text = self.text(key)
        return None if text is None else self.path.absolute().parent / text

    def data(self, key: str) -> bytes | None:
        """Bytes, which are base64 in the file."""
        text = self.text(key)
        if text is None:
            return None
        try:
            return b64decode("".join(text.split()), validate=True)
        except (Base64Error, ValueError):
            raise unusable(f"{self.what}: its {key} is no base64") from None


@dataclass(frozen=True, slots=True)
class KubeConfig:
    """Several files merged: of each name the first entry counts, and of current contexts the first."""

    contexts: dict[str, Entry] = field(default_factory=dict)
    clusters: dict[str, Entry] = field(default_factory=dict)
    users: dict[str, Entry] = field(default_factory=dict)
    current: str | None = None


def read(paths: str) -> KubeConfig:
    """Read files joined by ``:``; blocking. Those that do not exist count as empty.

    Raises:
        KubeConfigError: one is no kubeconfig, or there is no context in any.
        OSError: one cannot be read.
    """
    files: list[Entry] = []
    for path in map(Path, map(os.path.expanduser, paths.split(":"))):
        if path.exists():
            with path.open("rb") as file:
                content = file.read(_SIZE_LIMIT + 1)
            if len(content) > _SIZE_LIMIT:
                raise unusable(f"{path} is longer than {_SIZE_LIMIT} bytes")
            value = _parsed(content, path)
            if value is None:
                continue
            if not isinstance(value, dict):
                raise unusable(f"{path} is no mapping, which a kubeconfig is")
            files.append(Entry(str(path), value, path))
    if not files:
        raise unusable(f"{paths} is empty")
    sections: dict[str, dict[str, Entry]] = {"context": {}, "cluster": {}, "user": {}}
    for kind, entries in sections.items():
        for each in files:
            for name, entry in _named(each, kind).items():
                entries.setdefault(name, entry)
    if not sections["context"]:
        raise KubeConfigError(f"the kubeconfig {paths} has no contexts", advice=CONFIGURATION_ADVICE)
    currents = (each.text("current-context") for each in files)
    return KubeConfig(
        sections["context"], sections["cluster"], sections["user"], next(filter(None, currents), None)
    )


def _parsed(content: bytes, path: Path) -> object:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise unusable(
            f"{path} is UTF-16 or binary, not UTF-8: PowerShell's > writes UTF-16, save it as UTF-8"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unusable(f"{path} is not UTF-8 (byte {error.start})") from None
    if text.lstrip().startswith("{"):
        # JSON may have tabs, which YAML may not.
        try:
            value: object = from_json(text)
        except ValueError:
            pass
        else:
            return value
    try:
        return safe_load(text)
    except _BROKEN as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise unusable(f"{path} is no YAML{where}") from None


def _named(file: Entry, kind: str) -> dict[str, Entry]:
    """The contexts, clusters or users of a file."""
    entries: dict[str, Entry] = {}
    for each in file.mappings(f"{kind}s"):
        name = each.text("name")
        if name is None:
            raise unusable(f"{file.path} has a {kind} without a name")
        what = f"{kind} {printable(name)}"
        if name in entries:
            raise unusable(f"{file.path} has {what} twice")
        if kind not in each.values:
            raise unusable(f"{file.path}: {what} has no {kind}")
        values = each.mapping(kind)
        entries[name] = Entry(what, {} if values is None else values.values, file.path)
    return entries
