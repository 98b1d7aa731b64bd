"""The embedded model, for real: the true weights in a true process of its own.

Its judgement is a toy's; what is asserted is shape, protocol and the life of the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from filelock import FileLock

from perdure.errors.base import AccountError, ContextTooLong, ModelNotFound, PerdureError, ProviderError, ServerFailed
from perdure.providers.fetch import MODELS, ensure_model
from perdure.providers.local import LocalProvider, stop_model
from perdure.providers.local_process import running_model
from perdure.providers.local_state import ModelState, Places, healthy, read_state, remove_state, touch, write_state

ASK: dict[str, Any] = {
    "model": "smollm2",
    "messages": [{"role": "user", "content": "What is the capital of France? Answer in one word."}],
    "temperature": 0,
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 30}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="session")
def weights() -> Path:
    """Fetched once into the machine's cache; later sessions find it there."""
    return ensure_model()


@pytest.fixture(scope="module")
def data(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("data")
    yield folder
    stop_model(folder)


@pytest.fixture
async def local(data: Path) -> AsyncIterator[LocalProvider]:
    made = LocalProvider(data=data, timeout_s=120)
    yield made
    await made.aclose()


@pytest.fixture
def own(weights: Path, tmp_path: Path) -> Iterator[Path]:
    """A data folder whose process belongs to one test."""
    yield tmp_path
    stop_model(tmp_path)


async def rest(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


@pytest.fixture
async def open_local(own: Path) -> AsyncIterator[Callable[..., LocalProvider]]:
    """Makes providers over the test's own data folder, and closes them."""
    made: list[LocalProvider] = []

    def make(**more: Any) -> LocalProvider:
        made.append(LocalProvider(data=own, **more))
        return made[-1]

    yield make
    for local in made:
        await local.aclose()


async def ended(pid: int) -> None:
    async with asyncio.timeout(30):
        with suppress(ProcessLookupError):
            while True:
                os.kill(pid, 0)
                await asyncio.sleep(0.01)


async def silent(state: ModelState) -> None:
    async with asyncio.timeout(30):
        while await asyncio.to_thread(healthy, state):
            await asyncio.sleep(0.02)


async def gone(path: Path) -> None:
    async with asyncio.timeout(30):
        while path.exists():
            await asyncio.sleep(0.02)


async def test_it_answers_with_text_and_usage(local: LocalProvider) -> None:
    answer = await local.chat(ASK)
    assert "Paris" in answer.text
    assert answer.finish_reason == "stop"
    assert (answer.usage.input_tokens or 0) > 10
    assert (answer.usage.output_tokens or 0) > 1


async def test_it_streams(local: LocalProvider) -> None:
    chunks = [chunk async for chunk in local.stream(ASK)]
    assert len(chunks) > 3
    assert "Paris" in "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert chunks[-1]["usage"]["completion_tokens"] > 1


async def test_a_schema_binds_it(local: LocalProvider) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "size": {"enum": ["small", "large"]}},
        "required": ["city", "size"],
        "additionalProperties": False,
    }
    answer = await local.chat({**ASK, "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}})
    assert jsonschema_rs.is_valid(schema, json.loads(answer.text))


@pytest.mark.parametrize("choice", ["required", "auto"])
async def test_a_tool_is_called_although_the_model_knows_none(local: LocalProvider, choice: str) -> None:
    ask = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = await local.chat({**ASK, "messages": ask, "tools": [WEATHER], "tool_choice": choice})
    if choice == "auto" and answer.finish_reason != "tool_calls":
        assert answer.text  # its choice; the shape is what we promise
        return
    [call] = answer.message["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert jsonschema_rs.is_valid(WEATHER["function"]["parameters"], json.loads(call["function"]["arguments"]))
    result = {"role": "tool", "tool_call_id": call["id"], "content": "It rains."}
    final = await local.chat({**ASK, "messages": [*ask, answer.message, result], "tools": [WEATHER], "max_tokens": 40})
    assert final.text
    assert final.finish_reason != "tool_calls"


async def test_a_conversation_that_does_not_fit_is_refused_by_name(local: LocalProvider) -> None:
    with pytest.raises(ContextTooLong) as caught:
        await local.chat({**ASK, "messages": [{"role": "user", "content": "word " * 6000}]})
    assert not caught.value.retryable
    assert caught.value.evidence.rule == "llamacpp-context"


async def test_another_model_is_not_pretended(local: LocalProvider) -> None:
    with pytest.raises(ModelNotFound, match="'gpt-4'"):
        await local.chat({**ASK, "model": "gpt-4"})


async def test_several_callers_at_once_are_served(local: LocalProvider) -> None:
    answers = await asyncio.gather(*(local.chat({**ASK, "max_tokens": 4, "seed": n}) for n in range(5)))
    assert all(answer.usage.output_tokens for answer in answers)


async def test_it_is_checked_listed_and_counted(local: LocalProvider) -> None:
    await local.check()
    assert await local.models() == ["smollm2"]
    await local.chat({**ASK, "max_tokens": 2})
    assert local.get_metrics()["requests"] == 1


def test_the_simple_door_of_a_toy_works(data: Path) -> None:
    text = LocalProvider(data=data).generate("Say hello.", "You are brief.")
    assert text is None or isinstance(text, str)


async def test_without_its_key_nobody_is_answered_and_the_key_is_its_owners_alone(local: LocalProvider, data: Path) -> None:
    await local.chat({**ASK, "max_tokens": 1})
    places = Places(data)
    assert stat.S_IMODE(places.state.stat().st_mode) == 0o600
    state = read_state(places.state)
    assert state is not None
    assert state.url.startswith("http://127.0.0.1:")
    assert state.key not in repr(state)
    assert state.key not in places.log.read_text()
    import aiohttp

    async with aiohttp.ClientSession() as http, http.post(f"{state.url}/v1/chat/completions", json=ASK) as answer:
        assert answer.status == 401


async def test_an_idle_process_ends_and_the_next_call_starts_another(own: Path, open_local: Callable[..., LocalProvider]) -> None:
    local = open_local(idle_s=0.4)
    await local.chat({**ASK, "max_tokens": 1})
    state = read_state(Places(own).state)
    await gone(Places(own).state)
    assert (await local.chat({**ASK, "max_tokens": 1})).usage.output_tokens
    assert read_state(Places(own).state) != state


async def test_a_long_answer_keeps_it_awake(own: Path, open_local: Callable[..., LocalProvider]) -> None:
    local = open_local(idle_s=0.3)
    story = [{"role": "user", "content": "Tell me a very long story about the sea."}]
    answer = await local.chat({"model": "smollm2", "messages": story, "max_tokens": 100, "ignore_eos": True})
    assert answer.usage.output_tokens == 100


async def test_a_crashed_process_is_noticed_and_replaced(own: Path, open_local: Callable[..., LocalProvider]) -> None:
    local = open_local()
    await local.chat({**ASK, "max_tokens": 1})
    first = read_state(Places(own).state)
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    await ended(first.pid)
    assert Places(own).state.exists(), "it had no time to take its file away"
    assert (await local.chat({**ASK, "max_tokens": 1})).usage.output_tokens
    second = read_state(Places(own).state)
    assert second is not None
    assert second.pid != first.pid


async def test_a_crash_in_the_middle_of_an_answer_is_an_error_to_be_retried(own: Path, open_local: Callable[..., LocalProvider]) -> None:
    local = open_local()
    stream = aiter(local.stream({**ASK, "max_tokens": 400, "ignore_eos": True}))
    await anext(stream)
    state = read_state(Places(own).state)
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    with pytest.raises(ProviderError) as caught:
        await rest(stream)
    assert caught.value.retryable


def test_of_two_programs_that_start_it_at_once_one_does(own: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from perdure.providers.local_process import running_model;"
        "print(running_model(Path(sys.argv[1]), 'smollm2', idle_s=60).pid)"
    )
    racers = [subprocess.Popen([sys.executable, "-c", code, str(own)], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    pids = {racer.communicate(timeout=120)[0].strip() for racer in racers}
    state = read_state(Places(own).state)
    assert state is not None
    assert pids == {str(state.pid)}


async def test_taking_its_file_away_ends_it(own: Path) -> None:
    state = await asyncio.to_thread(running_model, own, "smollm2", idle_s=60)
    Places(own).state.unlink()
    await silent(state)


def test_stopping_ends_it_and_says_whether_there_was_one(own: Path) -> None:
    state = running_model(own, "smollm2", idle_s=60)
    assert stop_model(own) is True
    assert not healthy(state)
    assert stop_model(own) is False
    assert not Places(own).state.exists()


def test_a_missing_model_is_an_errand_for_a_person_with_the_words_to_type(tmp_path: Path) -> None:
    local = LocalProvider(data=tmp_path, models_folder=tmp_path)
    with pytest.raises(AccountError) as caught:
        local.generate("x", "")
    assert caught.value.hint == "perdure models get smollm2"
    assert local.validate() is False


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "xllamacpp" else find(name))
    with pytest.raises(AccountError) as caught:
        running_model(tmp_path, "smollm2", idle_s=60)
    assert "perdure[local]" in str(caught.value.hint)


def test_weights_that_cannot_be_loaded_are_an_error_with_the_log(tmp_path: Path) -> None:
    broken = tmp_path / Path(MODELS["smollm2"].member).name
    with broken.open("wb") as file:
        file.truncate(MODELS["smollm2"].size_bytes)
    with pytest.raises(ServerFailed) as caught:
        running_model(tmp_path, "smollm2", idle_s=60, models_folder=tmp_path)
    assert "local-model.log" in str(caught.value.hint)


def test_a_starter_that_hangs_does_not_block_for_ever(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.providers.local_process._START_S", 0.05)
    places = Places(tmp_path)
    places.run.mkdir()
    with FileLock(str(places.lock)), pytest.raises(PerdureError, match="another process"):
        running_model(tmp_path, "smollm2", idle_s=60)


def test_a_file_left_by_a_dead_process_is_not_believed(tmp_path: Path) -> None:
    state = ModelState(pid=2**22 + 1, url="http://127.0.0.1:9", key="k", model="smollm2")
    write_state(tmp_path / "s.json", state)
    assert read_state(tmp_path / "s.json") == state
    assert not healthy(state)
    remove_state(tmp_path / "s.json", pid=1)
    assert (tmp_path / "s.json").exists(), "another's file is not ours to remove"
    remove_state(tmp_path / "s.json", state.pid)
    assert not touch(tmp_path / "s.json")
    (tmp_path / "s.json").write_text("{")
    assert read_state(tmp_path / "s.json") is None
