"""Tells a webhook of errors: signed as Standard Webhooks has it, in a thread of its own, never in anybody's way.

Theory of operation: a report is written, without secrets, and put into a queue of limited length; when that is full the newest
is dropped and counted. One thread takes them out and posts them, each at most a few times with growing pauses; a receiver that
is down costs reports, never memory, time or an error of ours.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import logging
import queue
import secrets
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from perdure.clock import chance, iso, now
from perdure.errors.base import ConfigError, InputError, NetworkFailed
from perdure.errors.handler import Report
from perdure.errors.recovery import recovery
from perdure.security.outward import Outward, outward
from perdure.security.secrets import redact, redact_facts

__all__ = ["WebhookSink", "signature", "written"]

_TRIES = 5
_LONGEST_PAUSE_S = 30.0
_TIMEOUT_S = 10.0
_log = logging.getLogger("perdure.errors")


class WebhookSink:
    """Posts a report of each error to an address.

    Args:
        url (str): Where to.
        secret (str): Signs; `whsec_…` with base64, or any text of 16 characters or more.
        inside (bool): Whether the address may lie in one's own network, and be called without TLS.
        room (int): So many reports wait at most.
        pause (Callable[[float], object] | None): Waits between tries; None waits until it is closed.
    """

    def __init__(
        self, url: str, secret: str, *, inside: bool = False, room: int = 1000, pause: Callable[[float], object] | None = None
    ) -> None:
        if len(secret) < 16:
            raise ConfigError("the secret of a webhook has fewer than 16 characters", hint="`openssl rand -base64 32` makes one.")
        self._url, self._inside, self._key = url, inside, _key_of(secret)
        self._waiting: queue.Queue[tuple[str, bytes] | None] = queue.Queue(room)
        self._closing = threading.Event()
        self._pause = pause or self._closing.wait
        self._thread = threading.Thread(target=self._work, name="perdure-webhook", daemon=True)
        self.dropped = 0
        """Reports that found no room, or that nobody took."""
        self._thread.start()

    def take(self, report: Report) -> None:
        """Write a report and leave it to the thread; where there is no room it is dropped."""
        if self._closing.is_set():
            return
        try:
            self._waiting.put_nowait((f"msg_{secrets.token_hex(12)}", written(report)))
        except queue.Full:
            self.dropped += 1

    def close(self, timeout_s: float = 2.0) -> None:
        """Post what waits, as far as the time allows. Blocks.

        Args:
            timeout_s (float): How long at most.
        """
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:
            self._closing.set()
        self._thread.join(timeout_s)
        self._closing.set()

    def _work(self) -> None:
        while not self._closing.is_set() and (ahead := self._waiting.get()) is not None:
            try:
                self._deliver(*ahead)
            except Exception:  # a thread that ended here would leave a full queue behind
                self.dropped += 1
                _log.exception("a report could not be posted")

    def _deliver(self, id: str, body: bytes) -> None:
        for tried in range(_TRIES):
            try:
                status = self._post(outward(self._url, inside=self._inside), id, body)
            except InputError as error:
                _log.error("the webhook for errors may not be called: %s", error)
                break
            except (NetworkFailed, OSError, http.client.HTTPException) as error:
                status = 0
                _log.warning("the webhook for errors does not answer: %s", redact(str(error)))
            if 200 <= status < 300:
                return
            if status == 410 or self._closing.is_set():
                break
            if tried + 1 < _TRIES:
                self._pause(min(_LONGEST_PAUSE_S, 2.0**tried) * (0.5 + chance()))
        self.dropped += 1

    def _post(self, place: Outward, id: str, body: bytes) -> int:
        at = str(int(now()))
        headers = {
            "content-type": "application/json",
            "user-agent": "perdure",
            "webhook-id": id,
            "webhook-timestamp": at,
            "webhook-signature": signature(self._key, id, at, body),
        }
        connection = _connection(place)
        try:
            connection.request("POST", place.path, body=body, headers=headers)
            return connection.getresponse().status  # a redirect is no answer: it could lead inside
        finally:
            connection.close()


def signature(key: bytes, id: str, at: str, body: bytes) -> str:
    """Sign as Standard Webhooks has it.

    Args:
        key (bytes): What both sides know.
        id (str): Of the message; the same in every try.
        at (str): Seconds since 1970.
        body (bytes): As it is sent.

    Returns:
        str: `v1,` and base64.
    """
    digest = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def written(report: Report) -> bytes:
    """Write a report for the world: no secret leaves with it, and no argument of an exception.

    Args:
        report (Report): What happened.

    Returns:
        bytes: JSON.
    """
    error: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(report.error, args=None))
    said = {
        "where": report.where,
        "error": error,
        "count": report.count,
        "first_seen": iso(report.first_seen),
        "context": report.context,
        "next": recovery(report.error).words,
    }
    data = redact_facts(msgspec.to_builtins(said, enc_hook=str))
    return msgspec.json.encode({"type": "error.over" if report.over else "error.handled", "timestamp": iso(report.at), "data": data})


def _key_of(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError as error:
        raise ConfigError("the secret of a webhook begins with `whsec_`, but what follows is no base64") from error


def _connection(place: Outward) -> http.client.HTTPConnection:
    """To the address that was judged, under the name that was asked for."""
    if place.scheme == "http":
        connection = http.client.HTTPConnection(place.host, place.port, timeout=_TIMEOUT_S)
    else:
        connection = http.client.HTTPSConnection(place.host, place.port, timeout=_TIMEOUT_S, context=_TLS)
    connection.sock = socket.create_connection((place.address, place.port), timeout=_TIMEOUT_S)
    if place.scheme == "https":
        try:
            connection.sock = _TLS.wrap_socket(connection.sock, server_hostname=place.host)
        except BaseException:
            connection.close()
            raise
    return connection


_TLS = ssl.create_default_context()
