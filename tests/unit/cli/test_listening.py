"""The file that says where the server is."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from perdure.cli.listening import address_written, another_server, url_of
from perdure.client.address import address_file

FIRST, SECOND = "http://127.0.0.1:1001", "http://127.0.0.1:1002"


def url_in(data: Path) -> str:
    said: str = json.loads(address_file(data).read_text())["url"]
    return said


def test_it_is_there_as_long_as_the_server_is(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with address_written(tmp_path, FIRST):
        assert url_in(tmp_path) == FIRST
    assert not address_file(tmp_path).exists()


def test_a_second_server_gives_the_place_back_to_the_first(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with address_written(tmp_path, FIRST):
        with address_written(tmp_path, SECOND):
            assert url_in(tmp_path) == SECOND
        assert url_in(tmp_path) == FIRST
    assert not address_file(tmp_path).exists()


async def test_another_server_is_named_only_while_somebody_listens_there(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert await another_server(tmp_path) is None
    with socket.create_server(("127.0.0.1", 0)) as taken, address_written(tmp_path, url_of(taken)):
        assert await another_server(tmp_path) == url_of(taken)
        taken.close()
        assert await another_server(tmp_path) is None
    for odd in ("", "[]", json.dumps({"pid": os.getpid()}), json.dumps({"pid": os.getpid(), "url": "http://[1"})):
        address_file(tmp_path).write_text(odd)
        assert await another_server(tmp_path) is None


def test_the_place_of_one_that_was_killed_is_not_given_back(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    gone = os.fork()
    if not gone:
        os._exit(0)
    os.waitpid(gone, 0)
    for left in (json.dumps({"url": FIRST, "pid": gone}), "", "[]", '{"pid": "x"}', '{"pid": 1e999}'):
        address_file(tmp_path).write_text(left)
        with address_written(tmp_path, SECOND):
            assert url_in(tmp_path) == SECOND
        assert not address_file(tmp_path).exists()
