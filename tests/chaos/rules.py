"""What the rules allow an agent to serve and to annotate: a small model that shares no code with it.

It is told what the metadata service handed out, when agents were started, killed and suspended, and
what was seen over HTTP and on the Node; what contradicts the rules is a `Violation`. It is sound
rather than sharp: where a moment cannot be known from outside, either order is allowed.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.chaos.documents import EMPTY, LISTS, Document, parsed, revision

REASONS = {
    "no-metadata",
    "not-ready",
    "throttled",
    "unavailable",
    "unreachable",
    "rejected",
    "malformed",
}
STATUSES = {"starting", "ok", "stale", "no-metadata"}

LATE_WRITE_S = 12.0
"""A request to the API server may be done so long after it was sent, and its reason be gone by then."""

UNSEEN_S = 1.0
"""What happened is seen from outside at most so much later."""


class Violation(Exception):  # noqa: N818 - the word of the domain
    """Something was served or annotated that the rules do not allow."""


@dataclass(frozen=True, kw_only=True)
class Durations:
    """Settings of the agents, in seconds."""

    stale_after: float
    absent_after: float
    write_splay: float


@dataclass
class _Run:
    """What is known of one agent process."""

    had: dict[str, float] = field(default_factory=dict)
    """When each list was last seen with entries, by this process or in what it takes up."""
    may_lack: set[str] = field(default_factory=set)
    """Lists that it may have restored as empty."""
    restored: dict[str, set[object]] | None = field(default_factory=dict)
    """What each list may be by what it takes up; ``None``: that cannot be known."""
    shown: dict[str, frozenset[object]] = field(default_factory=dict)
    """What each list was seen to be, last of all."""
    shown_at: float = float("-inf")
    served: bool = False
    """Whether it must serve some document from now on."""
    suspended: float = 0.0
    """Seconds that it was stopped for."""
    observed_at: dict[str, str] = field(default_factory=dict)
    """By source, the last ``Observed-At`` seen."""


@dataclass
class _Sight:
    """Our annotations as they were last seen, for as long as only agents write them."""

    annotations: Mapping[str, str]
    asked: float
    """When that look was sent off: the next write comes later."""
    written_after: float = float("-inf")
    """They were written later than this."""


@dataclass
class Rules:
    """The model. Times are seconds of any one clock."""

    durations: Durations
    answers: list[tuple[float, Document]] = field(default_factory=list)
    """What the service handed out to the process that runs now."""
    run: _Run = field(default_factory=_Run)
    tampered: bool = False
    """Whether somebody else has been at the annotations, and they have not been put right since."""
    _known: dict[str, set[object]] = field(default_factory=lambda: {name: {frozenset()} for name in LISTS})
    _uid: str = ""
    _annotated: dict[str, float] = field(default_factory=dict)
    """When each list was last seen on the Node, while it is there."""
    _lacking: dict[str, float] = field(default_factory=dict)
    """When each list was last seen to be served without entries."""

    _foreign: dict[str, str] = field(default_factory=dict)
    """What somebody else last wrote under our keys: it may stay until the agent reads its Node again."""
    _sight: _Sight | None = None
    _late_until: float = float("-inf")
    """Until then others than the process that runs may write."""

    # --- What is done to the agent

    def answered(self, at: float, document: Document) -> None:
        """The service handed out a document; ``EMPTY`` is also "none"."""
        self.answers.append((at, document))
        for name in LISTS:
            self._known[name].add(document[name])

    def started(
        self, at: float, *, file: Document | None, node: Document | None, node_seen: bool = True
    ) -> None:
        """A process starts, and may find these documents in its file and on its Node.

        Where the Node could not be looked at, it may hold what is newer than the file: without the lists
        that an earlier process served without entries.
        """
        self.run = _Run(served=file is not None)
        self.writes_are_late(until=at + 0.2)
        self.answers.clear()
        if not node_seen:
            self.run.restored = None
        for name in LISTS:
            if self.run.restored is not None:
                self.run.restored[name] = {found[name] for found in (file, node) if found is not None}
            if file is not None and file[name]:
                self.run.had[name] = at
            if (node is not None and not node[name]) or (not node_seen and name in self._lacking):
                self.run.may_lack.add(name)

    def suspended(self, seconds: float) -> None:
        """The process was stopped for so long."""
        self.run.suspended += seconds

    def forged(self, at: float, annotations: Mapping[str, str]) -> None:
        """Somebody else has just written these of our annotations."""
        self.tampered = True
        self._foreign |= annotations
        self.writes_are_late(until=at)

    def writes_are_late(self, *, until: float) -> None:
        """Until then writes may be done that are not those of the process that runs."""
        self._sight, self._late_until = None, max(self._late_until, until)

    # --- What is seen over HTTP

    def unavailable(self, status: str) -> None:
        """There was a 503 with this status.

        Raises:
            Violation: this process has had data.
        """
        _require(status == "starting", f"503 with status {status!r}")
        _require(not self.run.served, "nothing is served any more")

    def served(self, at: float, body: str, headers: Mapping[str, str]) -> None:
        """There was this answer to ``/v1/loadbalancer``.

        Raises:
            Violation: the rules do not allow it.
        """
        reply = json.loads(body)
        document = parsed(reply["loadbalancer"])
        self.run.served = True
        self._check_words(reply, document)
        self._check_time(reply["status"], headers)
        _require(reply["revision"] == revision(reply["loadbalancer"]), "the revision is another document's")
        self._check_known(document, "served")
        for name in LISTS:
            self._check_shrinking(name, document[name], at)
            self.run.shown[name] = document[name]
            if document[name]:
                self.run.had[name] = at
            else:
                self._lacking[name] = at
                self._check_withdrawal(name, at)
        self.run.shown_at = at

    def _check_words(self, reply: Mapping[str, Any], document: Document) -> None:
        status, reason = reply["status"], reply["reason"]
        _require(status in STATUSES - {"starting"}, f"status {status!r} with a document")
        _require((reason is None) == (status == "ok"), f"status {status!r} with reason {reason!r}")
        _require(reason is None or reason in REASONS, f"reason {reason!r}")
        if status != "stale":
            _require((document == EMPTY) == (status == "no-metadata"), f"status {status!r} with {document}")

    def _check_time(self, status: str, headers: Mapping[str, str]) -> None:
        age, source = int(headers["Age"]), headers["Azure-LB-Metadata-Source"]
        observed = headers["Azure-LB-Metadata-Observed-At"]
        _require(source in {"imds", "restored"}, f"source {source!r}")
        _require(source == "imds" or status == "stale", f"restored data are called {status!r}")
        _require(observed >= self.run.observed_at.get(source, ""), f"observed at {observed}: time goes back")
        self.run.observed_at[source] = observed
        if status == "stale" and source == "imds":
            _require(age >= int(self.durations.stale_after), f"stale at the age of {age} s")
        if status != "stale":
            _require(age <= self.durations.stale_after, f"{status} at the age of {age} s")

    def _check_known(self, document: Document, where: str) -> None:
        for name in LISTS:
            _require(
                document[name] in self._known[name], f"{name} that nobody said are {where}: {document[name]}"
            )

    def _check_withdrawal(self, name: str, at: float) -> None:
        """A list that this process had may be gone only by the rule of withdrawal."""
        seen = self.run.had.get(name)
        if seen is None or name in self.run.may_lack:
            return
        allowed = any(when >= seen - UNSEEN_S for when in self._withdrawals(name) if when <= at)
        _require(allowed, f"{name} are withdrawn against the rule")
        del self.run.had[name]

    def _check_shrinking(self, name: str, entries: frozenset[object], at: float) -> None:
        """A list may lose entries, and gain none, only once two answers in a row say the same.

        Between two looks it may have been another one of which these are no part, and then they count at
        once; and what is restored from Node or file may be shorter.
        """
        restored = self.run.restored
        if not entries or not entries < self.run.shown.get(name, frozenset()):
            return
        if restored is None or entries in restored.get(name, ()):
            return
        said = [(when, document[name]) for when, document in self.answers if when <= at]
        lately = [
            each for when, each in said if when >= self.run.shown_at - self.run.suspended - 2 * UNSEEN_S
        ]
        replaced = any(not each <= self.run.shown[name] for each in lately)
        twice = any(one == other == entries for (_, one), (_, other) in pairwise(said))
        _require(replaced or twice, f"{name} have lost entries after one answer")

    def _withdrawals(self, name: str) -> Iterator[float]:
        """When the answers since the start would allow to withdraw a list."""
        first, count = 0.0, 0
        for at, document in self.answers:
            if document[name]:
                count = 0
                continue
            first = first if count else at
            count += 1
            # Clocks here and there read a moment apart; a suspended process reads late.
            span = at - first + self.run.suspended + 0.1
            if count >= 3 and span >= self.durations.absent_after:
                yield at

    # --- What is seen on the Node

    def annotated(
        self, at: float, uid: str, annotations: Mapping[str, str], *, asked: float | None = None
    ) -> None:
        """The Node of this uid has these annotations of ours, by name without the prefix.

        ``asked`` is when the look was sent off, and ``at`` when it came back.

        Raises:
            Violation: the rules do not allow it.
        """
        if uid != self._uid:
            self._uid, self._annotated, self._sight = uid, {}, None
            self._foreign.clear()
        self._check_splay(at, annotations, at if asked is None else asked)
        if self.tampered:
            return
        for key, value in annotations.items():
            _require(value.isascii() and value.isprintable() and value != "", f"{key} is {value!r}")
        if "status" in annotations:
            status, reason = annotations["status"], annotations.get("reason")
            _require(status in STATUSES, f"annotated status {status!r}")
            _require(status != "ok" or reason is None, f"annotated ok with reason {reason!r}")
            _require(reason is None or reason in REASONS, f"annotated reason {reason!r}")
        _require("loadbalancer" in annotations or not self._annotated, "the annotations are gone")
        if "loadbalancer" in annotations:
            self._check_annotated(at, annotations)

    def _check_splay(self, at: float, annotations: Mapping[str, str], asked: float) -> None:
        """Never two writes within one splay; of each it is known between which looks it was done."""
        sight = self._sight
        if sight is None or asked < self._late_until:
            self._sight = _Sight(annotations, asked)
        elif annotations == sight.annotations:
            sight.asked = asked
        else:
            between = at - sight.written_after
            _require(between >= self.durations.write_splay, f"two writes within {between:.3f} s")
            self._sight = _Sight(annotations, asked, written_after=sight.asked)

    def _check_annotated(self, at: float, annotations: Mapping[str, str]) -> None:
        wire = json.loads(annotations["loadbalancer"])
        document = parsed(wire)
        _require(
            annotations.get("revision") == revision(wire), "the annotated revision is another document's"
        )
        self._check_known(document, "annotated")
        addresses = {str(dict(entry)["frontendIpAddress"]) for entry in document["publicIpAddresses"]}
        text = annotations.get("public-ips", "")
        left = not addresses and text == self._foreign.get("public-ips")
        listed = set(filter(None, text.split(",")))
        _require(left or listed == addresses, f"public-ips {listed} beside a document with {addresses}")
        for name in LISTS:
            if document[name]:
                self._annotated[name] = at
            elif (last := self._annotated.pop(name, None)) is not None:
                # The Node may show it before an answer over HTTP does.
                gone = [self._lacking.get(name, float("-inf")), *self._withdrawals(name)]
                _require(
                    max(gone) >= last - LATE_WRITE_S, f"annotated {name} are gone that were never withdrawn"
                )

    def put_right(self) -> None:
        """The annotations are as they should be again."""
        self.tampered = False


def _require(allowed: bool, text: str) -> None:  # noqa: FBT001 - reads like assert
    if not allowed:
        raise Violation(text)
