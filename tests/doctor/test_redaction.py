"""What looks like a secret is hidden in every form that bodies, headers and errors have it in."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings, strategies as st

from sidecar.doctor.bundle import clean
from tests.support.fleet import document

SECRET = "hunter2-of-the/proxy@home+0123456789"  # noqa: S105 - what must not be shown
WORD = "hunter2X0123456789"

FORMS = {
    "basic": f"Authorization: Basic {base64.b64encode(b'u:p').decode()}",
    "basic-in-prose": f"it sent basic\t{base64.b64encode(f'user:{SECRET}'.encode()).decode()} twice",
    "bearer-tab": f"Bearer\t{WORD}",
    "bearer-two-spaces": f"bearer  {WORD}",
    "bearer-in-a-query": f"a=Bearer%20{WORD}",
    "sas": f"https://a.blob.core.windows.net/c?sv=2026&sig={WORD}%3D&se=2027",
    "form": f"grant_type=x&client_secret={WORD}&a=b",
    "form-refresh": f"refresh_token={WORD}",
    "variable": f"AZURE_CLIENT_SECRET={WORD}",
    "connection-string": f"AccountName=a;AccountKey={WORD}==;EndpointSuffix=b",
    "json-with-a-space": json.dumps({"access_token": SECRET, "expires_in": 7}),
    "json-compact": json.dumps({"refresh_token": SECRET}, separators=(",", ":")),
    "json-with-a-quote": json.dumps({"client_secret": f'a"{SECRET}'}),
    "json-in-json": json.dumps({"error": json.dumps({"access_token": SECRET})}),
    "json-in-json-in-json": json.dumps(json.dumps(json.dumps({"id_token": SECRET}))),
    "python": repr({"password": SECRET}),
    "url": f"http://user:{SECRET}@proxy.example:3128/",
    "url-in-json": json.dumps({"proxy": f"http://user:{SECRET}@proxy.example"}).replace("/", "\\/"),
    "url-without-password": f"https://{WORD}@host/",
    "no-scheme": f"user:{WORD}@proxy.example:3128",
    "no-scheme-slash": "user:a/hunter2X0123456789@proxy.example",
}

PARTS = (
    "hunter2",
    "0123456789",
    base64.b64encode(b"u:p").decode(),
    base64.b64encode(b"user:hunter2").decode()[:14],
)


@pytest.mark.parametrize("form", FORMS)
def test_hidden(form: str) -> None:
    """The secret is gone, and that there was one is to be seen."""
    shown = clean(FORMS[form].encode(), ()).decode()
    assert "(hidden)" in shown
    for part in PARTS:
        assert part not in shown


@pytest.mark.parametrize("form", ["json-with-a-space", "json-compact", "json-with-a-quote", "json-in-json"])
def test_json_stays_json(form: str) -> None:
    """What was JSON can still be read as JSON."""
    json.loads(clean(FORMS[form].encode(), ()))


@pytest.mark.parametrize(
    "text",
    [
        document(
            public=["20.1.2.3"], inbound=[("20.20.20.20", 443)], outbound=["2603::1"]
        ).canonical.decode(),
        "The Basic SKU has no metadata: Basic load balancers are not listed.",
        "http://169.254.169.254/metadata/loadbalancer?api-version=2020-10-01",
        "2026-01-02T03:04:05Z, 0.123 s, [2603::1]:443, tcp/20.20.20.20:443",
        'azure_lb_metadata_attempts_total{outcome="ok"} 7.0',
        "the token of the service account is expired: see automountServiceAccountToken",
        '{"token": null, "tokens": 3}',
        "mail someone@example.com",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Documents, metrics, addresses and sentences are as they were."""
    assert clean(text.encode(), ()).decode() == text


VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40).filter(
    lambda value: sum(each.isalnum() for each in value) >= 6
)
KEYS = st.sampled_from(["access_token", "refresh_token", "client_secret", "password", "AccountKey", "sig"])


@settings(max_examples=400)
@given(key=KEYS, value=VALUES, depth=st.integers(0, 4), indent=st.sampled_from([None, 1]))
def test_any_value_in_json(key: str, value: str, depth: int, indent: int | None) -> None:
    """Any value of such a name is hidden whole, in JSON within JSON too."""
    text = json.dumps({"a": 1, key: value, "b": 2}, indent=indent)
    for _ in range(depth):
        text = json.dumps({"error": text})
    shown = clean(text.encode(), ()).decode()
    for _ in range(depth):
        shown = json.loads(shown)["error"]
    assert json.loads(shown) == {"a": 1, key: "(hidden)", "b": 2}


@settings(max_examples=400)
@given(key=KEYS, value=VALUES)
def test_any_value_in_a_form(key: str, value: str) -> None:
    """Any value is hidden in a query, whatever is quoted in it."""
    quoted = quote(value, safe="")
    assert clean(f"a=1&{key}={quoted}&b=2".encode(), ()).decode() == f"a=1&{key}=(hidden)&b=2"


@settings(max_examples=400)
@given(value=VALUES.filter(lambda value: not set(value) & set("\"'<>")))
def test_any_password_of_a_url(value: str) -> None:
    """Any password before a host is hidden, with a slash and an ``@`` too."""
    assert (
        clean(f"see http://user:{value}@proxy:3128".encode(), ()).decode() == "see http://(hidden)@proxy:3128"
    )


def test_megabytes() -> None:
    """Content that is made of beginnings of secrets is worked through in linear time."""
    for piece in (b"://a:", b'sig="', b'token\\"', b"basic ", b"a:", b'password\\\\\\":\\\\\\"'):
        clean(piece * (400_000 // len(piece)), ())
