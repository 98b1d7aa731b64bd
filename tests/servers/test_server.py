"""What the other tests stand on: servers that come and go as told."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import psycopg
import pytest

from servers.server import Server
from servers.shared import Shared


def test_every_test_has_a_database_of_its_own(postgres: Shared, empty_postgres_url: str) -> None:
    with psycopg.connect(empty_postgres_url) as mine:
        mine.execute("CREATE TABLE here (n int)")
        assert mine.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
    other = postgres.create()

    with psycopg.connect(postgres.url(other)) as theirs:
        assert theirs.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'here'").fetchone() == (0,)

    postgres.drop(other)


def test_a_template_is_made_once(postgres: Shared) -> None:
    with postgres.making("of_this_test") as url:
        assert url is not None
        with psycopg.connect(url) as making:
            making.execute("CREATE TABLE known AS SELECT 7 AS n")
    with postgres.making("of_this_test") as again:
        assert again is None

    made = postgres.create(template="of_this_test")

    with psycopg.connect(postgres.url(made)) as connection:
        assert connection.execute("SELECT n FROM known").fetchone() == (7,)
    postgres.drop(made)


def test_nobody_comes_in_without_the_password(empty_postgres_url: str) -> None:
    login, _, place = empty_postgres_url.rpartition("@")
    wrong = login.rpartition(":")[0] + ":wrong@" + place

    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(wrong)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_what_was_committed_is_there_after_a_restart(private_postgres: Server, mode: str) -> None:
    server = private_postgres
    url = await server.create("kept")
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE one AS SELECT 1 AS n")
    before = server.pid

    await server.restart(mode)  # type: ignore[arg-type]

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("SELECT n FROM one")
    connection.terminate()
    again = await asyncpg.connect(url)
    assert await again.fetchval("SELECT n FROM one") == 1
    assert server.pid != before
    await again.close()


async def test_a_killed_server_starts_again(private_postgres: Server) -> None:
    await private_postgres.kill()
    assert not private_postgres.running

    await private_postgres.start()

    connection = await asyncpg.connect(private_postgres.url())
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_a_frozen_server_says_nothing_until_it_is_thawed(private_postgres: Server) -> None:
    connection = await asyncpg.connect(private_postgres.url())
    private_postgres.freeze()
    answer = asyncio.create_task(connection.fetchval("SELECT 1"))
    done, _ = await asyncio.wait([answer], timeout=0.2)
    assert not done

    private_postgres.thaw()

    assert await answer == 1
    await connection.close()


def test_a_server_does_not_outlive_whoever_started_it() -> None:
    source = "import sys; from servers.server import Server; s = Server(); s.start_now(); print(s.pid, flush=True); sys.stdin.read()"
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen([sys.executable, "-c", source], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        server = psutil.Process(int(starter.stdout.readline()))
        starter.kill()

    psutil.wait_procs([server], timeout=20)
    assert not server.is_running()


async def test_nothing_is_left_of_a_private_server() -> None:
    async with Server() as server:
        pid, folder = server.pid, server.folder

    assert not psutil.pid_exists(pid)
    assert not folder.exists()


async def test_a_new_one_looks_for_another_port_if_its_own_was_taken_meanwhile() -> None:
    server = Server()
    with socket.socket() as quicker:
        quicker.bind(("127.0.0.1", server.port))
        quicker.listen()
        taken = server.port
        async with server:
            assert server.port != taken
            with psycopg.connect(server.url()) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
