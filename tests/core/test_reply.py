"""What a response means, by status and body."""

import json

import pytest
from hypothesis import given, strategies as st

from sidecar.core.outcome import NONE, Failure, Reason, Success
from sidecar.core.reply import KNOWN_VERSIONS, fallback_version, interpret, shown
from sidecar.simulator.conditions import KNOWN_VERSIONS as DOCUMENTED_VERSIONS

BODY = (
    b'{"loadbalancer":{"publicIpAddresses":'
    b'[{"frontendIpAddress":"20.1.2.3","privateIpAddress":"10.240.0.4"},{"frontendIpAddress":"none"}]}}'
)

STATUSES = {
    300: Reason.REJECTED,
    301: Reason.REJECTED,
    302: Reason.REJECTED,
    304: Reason.REJECTED,
    400: Reason.REJECTED,
    401: Reason.REJECTED,
    403: Reason.REJECTED,
    405: Reason.REJECTED,
    404: Reason.NOT_READY,
    410: Reason.NOT_READY,
    429: Reason.THROTTLED,
    408: Reason.UNAVAILABLE,
    500: Reason.UNAVAILABLE,
    503: Reason.UNAVAILABLE,
    599: Reason.UNAVAILABLE,
    101: Reason.MALFORMED,
    204: Reason.MALFORMED,
    206: Reason.MALFORMED,
    402: Reason.MALFORMED,
    418: Reason.MALFORMED,
    600: Reason.MALFORMED,
}

bodies = st.binary(max_size=50) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "newest-versions", "loadbalancer"]), inner)
    ),
    max_leaves=5,
).map(lambda value: json.dumps(value).encode())
"""Bytes, and JSON of any shape under the member names that are looked at."""


def error(text: object) -> bytes:
    """An error body in the service's shape."""
    return json.dumps({"error": text}).encode()


def failure(status: int, body: bytes) -> Failure:
    """The failure that a response is expected to be."""
    outcome = interpret(status, body)
    assert isinstance(outcome, Failure)
    return outcome


class TestInterpret:
    """Status first, then body."""

    def test_document(self) -> None:
        """A 200 is the document with its bytes, and what had to be dropped from it."""
        answer = interpret(200, BODY)

        assert isinstance(answer, Success)
        assert answer.body == BODY
        assert [str(entry.frontend_ip) for entry in answer.document.public_ip_addresses] == ["20.1.2.3"]
        assert [dropped.shown for dropped in answer.dropped] == ["{'frontendIpAddress': 'none'}"]

    @pytest.mark.parametrize(
        "body", [b"", b" \n", b"<Error/>", b"[]", b'{"error":"No"}', b'{"loadbalancer":1}']
    )
    def test_other_bodies_of_a_200(self, body: bytes) -> None:
        """A 200 with anything else is malformed and says what is wrong."""
        result = failure(200, body)

        assert (result.reason, result.status) == (Reason.MALFORMED, 200)
        assert result.detail

    @pytest.mark.parametrize(("status", "reason"), STATUSES.items())
    def test_reason_of_status(self, status: int, reason: Reason) -> None:
        """Every other status has one reason, is named in the detail and keeps Retry-After."""
        assert interpret(status, error("Why."), retry_after=2.5) == Failure(
            reason, detail=f"HTTP {status}: Why.", status=status, retry_after=2.5
        )

    @pytest.mark.parametrize(
        "text",
        [
            "No load balancer metadata is found. Please check if your VM is using any non-basic SKU.",
            "no load balancer metadata",
            "Sorry: NO LOAD BALANCER METADATA IS FOUND",
        ],
    )
    def test_none(self, text: str) -> None:
        """The 404 that says so in words, in any case, is the answer "there is none"."""
        assert interpret(404, error(text)) is NONE

    @pytest.mark.parametrize("text", ["No load balancer metadata is found.", "NO LOAD BALANCER METADATA"])
    def test_none_with_a_mark(self, text: str) -> None:
        """A byte order mark before an error hides nothing of it."""
        assert interpret(404, b"\xef\xbb\xbf" + error(text)) is NONE
        assert failure(503, b"\xef\xbb\xbf" + error("Why.")).detail == "HTTP 503: Why."
        assert failure(503, b"\xef\xbb\xbfWhy.").detail == "HTTP 503: Why."

    @pytest.mark.parametrize(
        ("members", "detail"),
        [
            ({"error": "code", "error_description": "pod list is empty"}, "code: pod list is empty"),
            ({"error_description": "Identity not found"}, "Identity not found"),
            ({"error": "a", "error_description": 7}, "a"),
        ],
    )
    def test_description(self, members: dict[str, object], detail: str) -> None:
        """What an error describes beside its code is shown too."""
        assert failure(500, json.dumps(members).encode()).detail == f"HTTP 500: {detail}"

    @pytest.mark.parametrize(
        "text", ["Not found. Invalid version requested", "INVALID VERSION", "api-version?"]
    )
    def test_refused_version_is_rejected(self, text: str) -> None:
        """A 404 that refuses the version is no state of the data, but our request."""
        assert failure(404, error(text)).reason is Reason.REJECTED
        assert failure(410, error(text)).reason is Reason.NOT_READY

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"No load balancer metadata is found.",
            b'"No load balancer metadata is found."',
            b"<Error>No load balancer metadata is found.</Error>",
            b'{"message":"No load balancer metadata is found."}',
            b'{"error":["No load balancer metadata is found."]}',
            b'{"error":{"code":"No load balancer metadata is found."}}',
            b'{"error":"No load balancer metadata is found."',
            error("No metadata is found"),
            error("Load Balancer metadata API is not available right now. Please retry later"),
            error(None),
        ],
    )
    def test_every_other_404_is_not_ready(self, body: bytes) -> None:
        """A 404 with any other body, or the words in another place, is never "there is none"."""
        assert failure(404, body).reason is Reason.NOT_READY

    @pytest.mark.parametrize("status", [400, 410, 429, 500, 503])
    def test_the_words_mean_nothing_elsewhere(self, status: int) -> None:
        """The words under another status are an error like any other."""
        assert failure(status, error("No load balancer metadata is found.")).reason is STATUSES.get(
            status, Reason.UNAVAILABLE
        )

    def test_detail_of_an_empty_body(self) -> None:
        """An empty body is called so."""
        assert failure(503, b" \n").detail == "HTTP 503: empty body"

    def test_detail_of_a_long_error(self) -> None:
        """Of a long text the beginning is shown."""
        assert failure(503, error("long " * 1000)).detail == f"HTTP 503: {'long ' * 40}".rstrip()

    def test_detail_of_another_body(self) -> None:
        """Of a body in another shape the beginning is shown on one line."""
        assert failure(502, b"<html>\n\t<b>Bad\xff</b>").detail == "HTTP 502: <html> <b>Bad?</b>"

    @given(status=st.integers(min_value=0, max_value=999), body=bodies)
    def test_nothing_else_happens(self, status: int, body: bytes) -> None:
        """Whatever comes is an answer or a failure with one printable ASCII line of bounded length."""
        outcome = interpret(status, body)

        if isinstance(outcome, Failure):
            assert outcome.detail.isascii()
            assert outcome.detail.isprintable()
            assert 0 < len(outcome.detail) <= 250
            assert outcome.status == status
        else:
            assert status in {200, 404}


ARABIC_DIGITS = ["2023-07-01".translate({ord("0") + digit: 0x660 + digit for digit in range(10)})]


class TestFallbackVersion:
    """The api-version to use after a refusal."""

    @pytest.mark.parametrize(
        ("listed", "version"),
        [
            (["2021-02-01", "2023-07-01", "2020-10-01"], "2023-07-01"),
            (["2021-02-01", "2099-01-01"], "2021-02-01"),
            (["2099-01-01", "2098-01-01"], "2098-01-01"),
            (["2019-11-01"], "2019-11-01"),
            (["2020-10-01"], None),
            (["2020-10-01", "2021-01-01"], None),
            ([], None),
            ([None, 5, ["2023-07-01"], {"2023-07-01": 1}], None),
            (
                [
                    "latest",
                    "2023-7-1",
                    "2023/07/01",
                    "20230-7-01",
                    "2023070100",
                    "2023-07-01 ",
                    "v2023-07-01",
                ],
                None,
            ),
            (ARABIC_DIGITS, None),
            (["2023-07-01&x=y"], None),
            ("2023-07-01", None),
            ({"2023-07-01": 1}, None),
            (None, None),
        ],
    )
    def test_choice(self, listed: object, version: str | None) -> None:
        """The newest known of the list, else the oldest; never a refused one, nor what is no date."""
        body = json.dumps({"error": "Bad request.", "newest-versions": listed}).encode()

        assert fallback_version(body, refused={"2020-10-01", "2021-01-01"}) == version

    @pytest.mark.parametrize("body", [b"", b"<Error/>", b"[]", b"{}", b'["newest-versions"]'])
    def test_no_list(self, body: bytes) -> None:
        """A body without a list of versions gives none."""
        assert fallback_version(body, refused=()) is None

    def test_known_versions(self) -> None:
        """The known versions are the documented ones from the first that has this endpoint."""
        documented = [version for version in DOCUMENTED_VERSIONS if version >= "2020-10-01"]

        assert list(KNOWN_VERSIONS) == documented


@given(st.binary(max_size=300))
def test_shown_is_safe_to_print(body: bytes) -> None:
    """What is shown of a body is one line of printable ASCII, at most 200 characters."""
    text = shown(body)

    assert text.isascii()
    assert text.isprintable() or not text
    assert len(text) <= 200
