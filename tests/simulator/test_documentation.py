"""``docs/simulator.md`` is true: its tables, scenarios, calls and code are run."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sidecar.commands.simulate import parser
from sidecar.simulator import Serving, Simulator, catalogue, parse_scenario
from tests.simulator.client import LOADBALANCER, fetch

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
SERVICE, CONTROL = "http://127.0.0.1:16980", "http://127.0.0.1:16981"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def _section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


@dataclass(frozen=True)
class Curl:
    """One curl command line of the page."""

    method: str
    url: str
    body: str | None
    headers: dict[str, str]


def _curls() -> list[Curl]:
    text = "\n".join(_blocks("sh"))
    commands = re.findall(r"^curl (?:[^'\n]|'[^']*')*", text, re.MULTILINE)
    return [_curl(shlex.split(command)) for command in commands]


def _curl(words: list[str]) -> Curl:
    method, body, headers, url = "GET", None, {}, ""
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word in ("--data", "--data-binary"):
            body = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(":")
            headers[name] = value
        else:
            url = word
    return Curl(method, url, body, headers)


@pytest.mark.parametrize(("title", "kind"), [("Documents", "documents"), ("Faults", "faults")])
def test_tables_of_names(title: str, kind: str) -> None:
    """The tables have every document and fault in the order and words of the list."""
    table = _section(title).strip().split("\n\n")[0]
    listed: Any = catalogue()[kind]
    listed.pop("none" if kind == "faults" else "", None)

    assert dict(re.findall(r"^\| `([a-z0-9-]+)` \| (.*) \| .* \|$", table, re.MULTILINE)) == listed


@pytest.mark.parametrize("text", _blocks("yaml"))
def test_scenarios(text: str) -> None:
    """Every scenario of the page is one."""
    assert parse_scenario(text).model_fields_set


@pytest.mark.parametrize("curl", _curls(), ids=lambda curl: f"{curl.method} {curl.url} {curl.body}")
async def test_calls(serving: Serving, session: aiohttp.ClientSession, curl: Curl) -> None:
    """Every call of the page is answered with 200."""
    url = curl.url.replace(SERVICE, serving.url).replace(CONTROL, serving.control_url)

    async with session.request(curl.method, url, data=curl.body, headers=curl.headers) as response:
        assert response.status == 200


def test_calls_are_found() -> None:
    """The calls that this test runs are all the page has."""
    assert len(_curls()) == sum(block.count("curl ") for block in _blocks("sh"))


async def test_control_calls_are_all_there(serving: Serving, session: aiohttp.ClientSession) -> None:
    """The table of control calls has every call that the listener names."""
    listed = (await fetch(session, f"{serving.control_url}/")).value["paths"]

    assert set(re.findall(r"`((?:GET|PUT|DELETE) /[a-z]*)`", _section("Control"))) == set(listed)


def test_arguments() -> None:
    """The table of arguments names every one of the command."""
    documented = set(re.findall(r"`(--?[a-z-]+)", _section("Try it")))
    actual = {option for action in parser()._actions for option in action.option_strings}

    assert documented == actual - {"-h", "--help", "--output"}


async def test_python() -> None:
    """The Python of the page runs."""
    (code,) = _blocks("python")
    names: dict[str, object] = {}
    exec(compile(code, "docs/simulator.md", "exec"), names)  # noqa: S102 -- the page's own code

    await names["try_it"]()  # type: ignore[operator]


async def test_per_caller_example(serving: Serving, session: aiohttp.ClientSession) -> None:
    """The example of several nodes gives one none and another nothing but outbound rules."""
    (text,) = (text for text in _blocks("yaml") if "per-caller" in text)
    simulator = Simulator(parse_scenario(text))

    assert simulator.document("10.224.0.7") is None
    assert '"inboundRules":[]' in str(simulator.document_body("10.225.3.4"))
    assert (await fetch(session, serving.url + LOADBALANCER)).status == 200
