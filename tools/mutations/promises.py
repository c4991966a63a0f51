"""The promises, how each is broken, and the tests that must fail then."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One promise, and a change of the code that breaks it."""

    promise: str
    file: str
    """Relative to the checkout."""
    old: str
    """Stands there exactly once."""
    new: str
    tests: tuple[str, ...]
    """What pytest is given: files or tests."""


PROMISES = (
    Mutation(
        promise="No withdrawal on a 503, or any other error",
        file="sidecar/core/state.py",
        old="return replace(state, failure=outcome, failures=state.failures + 1)",
        new="return replace(state, failure=outcome, failures=state.failures + 1, document=None)",
        tests=(
            "tests/core/test_state_withdrawal.py",
            "tests/core/test_state_model.py",
            "tests/faults/test_service.py::test_flapping",
        ),
    ),
    Mutation(
        promise="A list that is missing is withdrawn only after absent-after",
        file="sidecar/core/state.py",
        old="if absence.answers < WITHDRAWAL_ANSWERS or now.mono - absence.since < absent_after:",
        new="if absence.answers < WITHDRAWAL_ANSWERS:",
        tests=("tests/core/test_state_withdrawal.py", "tests/core/test_state_model.py"),
    ),
    Mutation(
        promise="A list that is missing is withdrawn only after three answers",
        file="sidecar/core/state.py",
        old="if absence.answers < WITHDRAWAL_ANSWERS or now.mono - absence.since < absent_after:",
        new="if now.mono - absence.since < absent_after:",
        tests=("tests/core/test_state_withdrawal.py", "tests/core/test_state_model.py"),
    ),
    Mutation(
        promise="A list that loses entries counts after two equal answers",
        file="sidecar/core/state.py",
        old="and (previous is None or getattr(previous, name) != said):",
        new="and previous is None:",
        tests=("tests/core/test_state_withdrawal.py", "tests/core/test_state_model.py"),
    ),
    Mutation(
        promise='Only one wording of 404 means "none"',
        file="sidecar/core/reply.py",
        old="if status == HTTPStatus.NOT_FOUND and _NO_METADATA in error.lower():",
        new="if status == HTTPStatus.NOT_FOUND:",
        tests=("tests/core/test_reply.py",),
    ),
    Mutation(
        promise="A restart in an outage restores what was published",
        file="sidecar/core/state.py",
        old="    if state.answer is None or state.answered is None:\n        return restored\n",
        new="    if state.answer is None or state.answered is None:\n        return state\n",
        tests=("tests/core/test_restoring.py", "tests/faults/test_machine.py::test_killed"),
    ),
    Mutation(
        promise="A forged document is not believed at restoring",
        file="sidecar/core/annotations.py",
        old="if document.canonical == text.encode() and document.revision == revision else None",
        new="if document.canonical else None",
        tests=("tests/core/test_annotation_restoring.py",),
    ),
    Mutation(
        promise="Foreign annotations are never ours to write",
        file="sidecar/core/annotations.py",
        old="return {key: value for key, value in annotations.items() if key in keys}",
        new="return {key: value for key, value in annotations.items() if keys}",
        tests=("tests/core/test_annotation_keys.py", "tests/agent/publish/test_node.py"),
    ),
    Mutation(
        promise="Every apply names the uid of the Node",
        file="sidecar/kube/client.py",
        old='metadata = {"name": name, "uid": uid, "annotations": dict(annotations)}',
        new='metadata = {"name": name, "annotations": dict(annotations)}',
        tests=("tests/kube/test_requests.py",),
    ),
    Mutation(
        promise="Annotations stay within the budget",
        file="sidecar/core/annotations.py",
        old="for key, value in values.items()) <= layout.budget:",
        new="for key, value in values.items()) <= 2 * layout.budget:",
        tests=("tests/core/test_annotation_budget.py",),
    ),
    Mutation(
        promise="Never two writes to a Node within one splay",
        file="sidecar/core/writes.py",
        old="not_before = max(not_before, write_state.wrote_at + self.write_splay)",
        new="not_before = max(not_before, write_state.wrote_at)",
        tests=(
            "tests/core/test_writes.py",
            "tests/core/test_writes_heartbeat.py",
            "tests/core/test_writes_model.py",
        ),
    ),
    Mutation(
        promise="A write waits a random part of the splay",
        file="sidecar/core/writes.py",
        old="return now + fraction * self.write_splay if write_state.due_at is None else write_state.due_at",
        new="return now if write_state.due_at is None else write_state.due_at",
        tests=("tests/core/test_writes.py",),
    ),
    Mutation(
        promise="An outage turns the annotations stale later than the answers, at random",
        file="sidecar/core/writes.py",
        old="stale_after=self.policy.stale_after * (1 + self.staleness_jitter)",
        new="stale_after=self.policy.stale_after",
        tests=("tests/core/test_writes_status.py",),
    ),
    Mutation(
        promise="No proxy is used",
        file="sidecar/sources/reading.py",
        old="trust_env=False,",
        new="trust_env=True,",
        tests=("tests/sources/test_imds_requests.py",),
    ),
    Mutation(
        promise="No redirect is followed",
        file="sidecar/sources/imds.py",
        old="allow_redirects=False",
        new="allow_redirects=True",
        tests=("tests/sources/test_imds_requests.py",),
    ),
    Mutation(
        promise="A body is read up to 4 MiB",
        file="sidecar/sources/reading.py",
        old="limit = _BODY_LIMIT if response.status == 200 else ERROR_LIMIT",
        new="limit = 100 * _BODY_LIMIT if response.status == 200 else ERROR_LIMIT",
        tests=("tests/sources/test_imds_broken_answers.py",),
    ),
    Mutation(
        promise="What is compressed is never unpacked",
        file="sidecar/sources/reading.py",
        old="auto_decompress=False,",
        new="auto_decompress=True,",
        tests=("tests/security/test_bombs.py", "tests/sources/test_imds_broken_answers.py"),
    ),
    Mutation(
        promise="Of a list 10,000 entries are looked at",
        file="sidecar/core/parsing.py",
        old="for value in islice(values, _MOST_ENTRIES)\n",
        new="for value in islice(values, None)\n",
        tests=("tests/core/test_parsing_dropped.py", "tests/security/test_bombs.py"),
    ),
    Mutation(
        promise="A list without one usable entry is not taken for an empty one",
        file="sidecar/core/parsing.py",
        old="    if not entries and (present or rest > 0):\n",
        new="    if not entries and rest > 0:\n",
        tests=("tests/core/test_parsing_malformed.py",),
    ),
    Mutation(
        promise="The order of the entries makes no difference",
        file="sidecar/core/document.py",
        old="inbound_rules=tuple(sorted(set(inbound_rules), key=lambda entry: entry.order)),",
        new="inbound_rules=tuple(dict.fromkeys(inbound_rules)),",
        tests=("tests/core/test_document.py", "tests/faults/test_service.py::test_changing_order"),
    ),
    Mutation(
        promise="After a 429 the back-off starts a step later",
        file="sidecar/core/backoff.py",
        old="step = failures if outcome.reason is Reason.THROTTLED else failures - 1",
        new="step = failures - 1",
        tests=("tests/core/test_backoff.py",),
    ),
    Mutation(
        promise="Retry-After is honoured",
        file="sidecar/core/backoff.py",
        old="return max(delay, outcome.retry_after or 0.0)",
        new="return delay",
        tests=("tests/core/test_backoff.py", "tests/agent/poller/test_pacing.py"),
    ),
    Mutation(
        promise="A sidecar takes no other node's answer",
        file="sidecar/core/upstream.py",
        old="if node is None or node == response.node == answer.node:",
        new="if node is None or node:",
        tests=("tests/core/test_upstream.py", "tests/sources/test_upstream.py"),
    ),
    Mutation(
        promise="A client of events that does not read is dropped",
        file="sidecar/api/waiting.py",
        old="async with asyncio.timeout(self.pace.stalled):",
        new="async with asyncio.timeout(None):",
        tests=("tests/api/test_events.py",),
    ),
    Mutation(
        promise="Waiting clients are bounded",
        file="sidecar/api/waiting.py",
        old="if self._clients >= self._bound or",
        new="if self._clients >= 100 * self._bound or",
        tests=("tests/api/test_waiting.py", "tests/api/test_events.py"),
    ),
    Mutation(
        promise="A change wakes only those whose own answer it changes",
        file="sidecar/api/waiting.py",
        old="if etag != watched.latest.value:",
        new='if etag != "":',
        tests=("tests/api/test_waiting.py",),
    ),
    Mutation(
        promise="Clients of other networks than allowed are not served",
        file="sidecar/api/connections.py",
        old="return address is None or any(address in network for network in self.allow_from)",
        new="return True",
        tests=("tests/api/test_connections.py",),
    ),
    Mutation(
        promise="Requests that were forwarded get no data",
        file="sidecar/api/endpoints.py",
        old="if raw.forwarded and guarded:",
        new="if raw.forwarded and not route:",
        tests=("tests/api/test_refusals.py",),
    ),
    Mutation(
        promise="Control characters are escaped in logs",
        file="sidecar/logs.py",
        old="{text if plain else json.dumps(text)}",
        new="{text}",
        tests=("tests/test_logs.py",),
    ),
    Mutation(
        promise="No flood of the log when descriptors run out",
        file="sidecar/runtime.py",
        old="if now - self._logged.get(kind, -self._interval) < self._interval:",
        new="if now < self._logged.get(kind, -self._interval):",
        tests=("tests/test_runtime.py", "tests/faults/test_machine.py::test_no_descriptors"),
    ),
    Mutation(
        promise="The old file is whole until the new one is",
        file="sidecar/agent/publish_file.py",
        old='descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")',
        new="descriptor, name = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), str(path)",
        tests=("tests/agent/publish/test_file.py", "tests/agent/publish/test_file_failures.py"),
    ),
)
