"""A webhook cannot be made to call what only this machine and its neighbours should reach."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from perdure.errors.base import Forbidden, InputError, InvalidInput, NetworkFailed
from perdure.security.outward import outward


def answering(*addresses: str) -> Any:
    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    return look_up


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "ff02::1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b:1::7f00:1",
        "fec0::1",
        "3fff::1",
        "2001:4860::5efe:7f00:1",
        "168.63.129.16",
    ],
)
def test_an_address_inside_is_refused_unless_that_is_meant(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answering(address))
    with pytest.raises(Forbidden, match="inside"):
        outward("https://example.org/hook")
    assert outward("https://example.org/hook", inside=True).host == "example.org"


def test_one_answer_inside_spoils_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answering("93.184.216.34", "10.0.0.1"))
    with pytest.raises(Forbidden):
        outward("https://example.org")


def test_what_was_judged_is_what_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answering("93.184.216.34"))
    place = outward("https://example.org:8443/a/b?c=1")
    assert tuple(place) == ("https", "example.org", 8443, "/a/b?c=1", "93.184.216.34")
    assert outward("https://example.org").path == "/"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "ftp://example.org",
        "https://",
        "https://user:word@example.org",
        "https://x:99999",
        "file:///etc/passwd",
        "https://[/x",
        "https://x/a path",
    ],
)
def test_what_is_no_address_of_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(InputError) as caught:
        outward(url)
    assert "path" not in str(caught.value)


def test_a_name_that_nobody_knows_may_be_known_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(NetworkFailed):
        outward("https://example.org")
    assert not issubclass(NetworkFailed, InvalidInput)
