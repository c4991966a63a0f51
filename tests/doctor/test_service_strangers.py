"""`doctor --direct`: an api-version that is refused in odd forms, and others who answer for the service."""

import pytest

from tests.doctor.support import Doctor
from tests.support.raw_server import raw_server, response

IMDS = "Server: IMDS/150.870.65.1854"

REFUSALS = {
    "404": ("404 Not Found", b'{ "error": "Not found. Invalid version requested" }'),
    "404-marked": ("404 Not Found", b'\xef\xbb\xbf{ "error": "Not found. Invalid version requested" }'),
    "400": ("400 Bad Request", b'{"error":"Bad request. api-version is invalid or was not specified."}'),
    "400-marked": ("400 Bad Request", b'\xef\xbb\xbf{"error":"no","newest-versions":["2019-11-01"]}'),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("version", ["", "2024-07-17"], ids=["default", "set"])
async def test_version_refused_in_other_forms(
    host: pytest.MonkeyPatch, doctor: Doctor, *, refusal: tuple[str, bytes], version: str
) -> None:
    """However a version is refused, that is the cause; nobody is told to remove what is not set."""
    async with raw_server(lambda _: response(*refusal, IMDS)) as server:
        host.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", server.url)
        host.setenv("AZURE_LB_METADATA_IMDS_API_VERSION", version)
        report = await doctor("--direct")

    report.names_first("api-version-refused", sure="certain")
    assert ("--imds-api-version is set to" in report.told("api-version-refused")) == bool(version)
    assert "emove" not in report.cause("api-version-refused")["remedy"]


OTHERS = {
    "NMI blocks": ("403 Forbidden", b"Request blocked by AAD Pod Identity NMI", "AAD Pod Identity"),
    "NMI has no pods": ("500 Error", b'{"error":"x","error_description":"pod list is empty"}', "Identity"),
    "NMI in text": ("500 Error", b"pod list is empty\n", "AAD Pod Identity"),
    "no host": ("503 Service Unavailable", b"no healthy upstream", "Envoy"),
    "no upstream": (
        "503 Service Unavailable",
        b"upstream connect error or disconnect/reset before headers. reset reason: connection failure",
        "Envoy",
    ),
    "late upstream": ("504 Gateway Timeout", b"upstream request timeout", "Envoy"),
    "nginx": ("502 Bad Gateway", b"<html><center><h1>502</h1></center><hr><center>nginx</center>", "nginx"),
    "404 of Envoy": ("404 Not Found", b"no healthy upstream", "Envoy"),
    "429 of Envoy": ("429 Too Many Requests", b"no healthy upstream", "Envoy"),
}


@pytest.mark.parametrize("answer", OTHERS.values(), ids=OTHERS)
async def test_another_program(
    host: pytest.MonkeyPatch, doctor: Doctor, answer: tuple[str, bytes, str]
) -> None:
    """Who names itself in the text is the cause, whatever the status means at the service."""
    status, text, name = answer
    async with raw_server(lambda _: response(status, text)) as server:
        host.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", server.url)
        report = await doctor("--direct")

    report.names_first("proxy-in-the-way", sure="certain")
    assert name in report.told("proxy-in-the-way")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
@pytest.mark.parametrize("text", [b"", b"Bad Gateway", b'{"message":"no"}', b'{"error":"zonk"}'])
async def test_nothing_is_certain_of_a_stranger(
    host: pytest.MonkeyPatch, doctor: Doctor, *, status: int, text: bytes
) -> None:
    """A 5xx without the service's name or text is likely that of the service, and not certainly."""
    async with raw_server(lambda _: response(f"{status} Error", text)) as server:
        host.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", server.url)
        report = await doctor("--direct", "--tries", "1")

    report.names_first("metadata-service-unavailable", sure="likely")
