"""Answers that are no document at all are malformed, and never taken for an empty one."""

import json

import pytest

from sidecar.core.parsing import MalformedError, parse_canonical, parse_response
from sidecar.errors import Error
from tests.core.examples import wire_inbound
from tests.core.parsing import FULL, LISTS, parse
from tests.support.faults import Origin, fault, outage

NOT_JSON = {
    "nothing": b"",
    "white space": b" \r\n",
    "byte order mark alone": b"\xef\xbb\xbf",
    "cut short": json.dumps({"loadbalancer": FULL}).encode()[:-1],
    "trailing garbage": b'{"loadbalancer":{}} x',
    "two documents": b'{"loadbalancer":{}}{"loadbalancer":{}}',
    "trailing comma": b'{"loadbalancer":{},}',
    "single quotes": b"{'loadbalancer':{}}",
    "HTML": b"<!DOCTYPE html><html></html>",
    "XML": b'<?xml version="1.0" encoding="utf-8"?><Error><Code>400</Code></Error>',
    "plain text": b"Too many requests",
    "NaN": b'{"loadbalancer":{},"x":NaN}',
    "Infinity": b'{"loadbalancer":{},"x":Infinity}',
    "minus Infinity": b'{"loadbalancer":{},"x":-Infinity}',
    "too many digits": b'{"loadbalancer":{},"x":' + b"9" * 4301 + b"}",
    "a million digits": b'{"loadbalancer":{},"x":' + b"9" * 1_000_000 + b"}",
    "depth of 100000": b'{"loadbalancer":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects 100000 deep": b'{"loadbalancer":' * 100_000 + b"{}" + b"}" * 100_000,
    "open brackets": b"[" * 100_000,
    "not UTF-8": b'{"loadbalancer":{},"x":"\xff"}',
    "Latin-1": '{"loadbalancer":{},"x":"\u00e9"}'.encode("latin-1"),
    "UTF-16": '{"loadbalancer":{}}'.encode("utf-16"),
    "UTF-8 surrogate": b'{"loadbalancer":{},"x":"\xed\xa0\x80"}',
    "lone surrogate": b'{"loadbalancer":{},"x":"\\ud800"}',
    "surrogates in wrong order": b'{"loadbalancer":{},"x":"\\udc00\\ud800"}',
    "NUL": b"\x00",
    "NUL in a string": b'{"loadbalancer":{},"x":"\x00"}',
}


@fault(Origin.SERVICE, "JSON of hostile depth or numbers of hostile length", outage("malformed"))
@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in NOT_JSON.items()])
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    """Bytes that are not one JSON text in UTF-8 are malformed, however large or deep."""
    for parse_bytes in (parse_response, parse_canonical):
        with pytest.raises(MalformedError, match=r"^the body is (empty|not JSON)") as caught:
            parse_bytes(body)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", ["null", "true", "1", '"x"', "[]", '[{"loadbalancer":{}}]'])
def test_root_that_is_no_object_is_malformed(value: str) -> None:
    """An answer that is JSON of another type is malformed, not empty."""
    for parse_bytes in (parse_response, parse_canonical):
        with pytest.raises(MalformedError, match=r"not an? (JSON )?object"):
            parse_bytes(value.encode())


@pytest.mark.parametrize(
    "body", ["{}", '{"error":"No load balancer metadata is found."}', '{"LoadBalancer":{}}']
)
def test_object_without_the_outer_key_is_malformed(body: str) -> None:
    """An answer without `loadbalancer` is malformed: nothing in it says that there is none."""
    with pytest.raises(MalformedError, match="'loadbalancer' is not an object"):
        parse_response(body.encode())


@pytest.mark.parametrize("value", ["null", "true", "0", '""', "[]"])
def test_outer_key_of_another_type_is_malformed(value: str) -> None:
    """A `loadbalancer` that is not an object is malformed."""
    with pytest.raises(MalformedError, match="'loadbalancer' is not an object"):
        parse_response(b'{"loadbalancer":' + value.encode() + b"}")


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("value", [{}, "", "x", 0, 1.5, False, {"0": wire_inbound()}])
def test_list_of_another_type_is_malformed(name: str, value: object) -> None:
    """A list that is an object, text, a number or a boolean makes the answer malformed, not empty."""
    with pytest.raises(MalformedError, match=f"'{name}' is not a list"):
        parse(**{**FULL, name: value})


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("entries", [[{}], [None], [[], "x", 1], [wire_inbound(frontendIpAddress="?")]])
def test_list_without_a_usable_entry_is_malformed(name: str, entries: list[object]) -> None:
    """A list sent with entries of which none is usable is malformed: it is not known to be empty."""
    with pytest.raises(MalformedError, match=f"no entry of '{name}' is usable, for example"):
        parse(**{**FULL, name: entries})


def test_malformed_text_is_one_printable_line() -> None:
    """The error of a hostile document is one short line of ASCII that a log can take."""
    with pytest.raises(MalformedError) as caught:
        parse(publicIpAddresses=["\x1b[2J\n\u202e" * 1000])
    assert isinstance(caught.value, Error)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
