"""The unmodified `openai` package as a client of files."""

from __future__ import annotations

import io

import openai
import pytest
from openai.types import FileDeleted, FileObject

from perdure.messages.files import PIECE_BYTES


@pytest.fixture
async def client(way):
    async with openai.AsyncOpenAI(base_url=way.url, api_key=way.key, max_retries=0) as made:
        yield made


async def test_a_file_comes_back_as_it_was_handed_in_and_has_openais_types(way, client):
    content = bytes(range(256)) * (PIECE_BYTES // 128) + b"the end\r\n--"  # several pieces, and the beginning of a boundary
    kept = await client.files.create(file=("lines ☃.jsonl", content), purpose="user_data")
    assert (kept.bytes, kept.filename, kept.purpose, kept.status, kept.expires_at) == (
        len(content), "lines ☃.jsonl", "user_data", "processed", None,
    )  # fmt: skip
    assert (await client.files.content(kept.id)).content == content
    answer = await way.served.get(f"/v1/files/{kept.id}")
    assert FileObject.model_validate_json(answer.raw, strict=True) == kept == await client.files.retrieve(kept.id)
    gone = await client.files.delete(kept.id)
    assert gone == FileDeleted(id=kept.id, deleted=True, object="file")
    for look in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            await look(kept.id)


async def test_how_long_a_file_is_kept_is_said_or_by_its_purpose(client):
    said = await client.files.create(file=io.BytesIO(b"{}"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600})
    unsaid = await client.files.create(file=io.BytesIO(b"{}"), purpose="batch")
    assert abs(said.expires_at - said.created_at - 3600) <= 1
    assert abs(unsaid.expires_at - unsaid.created_at - 30 * 24 * 3600) <= 1


async def test_files_are_listed_in_pages(client):
    kept = [await client.files.create(file=(f"{n}", b""), purpose="evals" if n == 1 else "vision") for n in range(3)]
    assert [one.id async for one in client.files.list(limit=2)] == [one.id for one in reversed(kept)]
    assert [one.id async for one in client.files.list(order="asc", limit=1)] == [one.id for one in kept]
    assert [one.id async for one in client.files.list(purpose="evals")] == [kept[1].id]
    with pytest.raises(openai.NotFoundError):
        await client.files.list(after="file-unknown")


FORM = "multipart/form-data; boundary=xx"
WHOLE = '--xx\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--xx\r\n{}\r\n\r\ntext\r\n--xx--\r\n'
FILE = 'content-disposition: form-data; name="file"; filename="f"'


@pytest.mark.parametrize(
    ("media_type", "body", "status", "param"),
    [
        ("application/json", "{}", 415, None),
        ("multipart/form-data", "", 415, None),
        (FORM, "no form", 400, None),
        (FORM, WHOLE.format(FILE).removesuffix("--\r\n"), 400, None),
        (FORM, WHOLE.format('content-disposition: form-data; name="other"; filename="f"'), 400, "file"),
        (FORM, WHOLE.format('content-disposition: form-data; name="file"'), 400, "file"),
        (FORM, WHOLE.format(FILE).replace("batch", "cake"), 400, "purpose"),
        (FORM, WHOLE.format(FILE).replace('"purpose"', '"expires_after[seconds]"').replace("batch", "x"), 400, "expires_after[seconds]"),
        (FORM, WHOLE.format(FILE).replace('"purpose"', '"cake"'), 400, "purpose"),
        (FORM, WHOLE.format(FILE).replace("text", "t" * 2000), 413, None),
    ],
)
async def test_what_is_no_form_with_a_file_is_refused_and_nothing_is_kept(serve, media_type, body, status, param):
    small = await serve(max_file_bytes=1024)
    answer = await small.post("/v1/files", raw=body.encode(), headers={"content-type": media_type})
    assert (answer.status, answer.json["error"]["param"]) == (status, param), answer.text
    assert (await small.get("/v1/files")).json["data"] == []
    good = await small.post("/v1/files", raw=WHOLE.format(FILE).encode(), headers={"content-type": FORM})
    assert (good.status, good.json["bytes"], good.json["filename"]) == (200, 4, "f")


async def test_a_tenant_sees_its_own_files_alone(way, client):
    mine, theirs = [await way.served.new_key(tenant=name) for name in ("acme", "other")]
    async with openai.AsyncOpenAI(base_url=way.url, api_key=mine, max_retries=0) as own:
        kept = await own.files.create(file=b"secret", purpose="vision")
        assert [one.id async for one in own.files.list()] == [kept.id]
    async with openai.AsyncOpenAI(base_url=way.url, api_key=theirs, max_retries=0) as other:
        assert [one async for one in other.files.list()] == []
        for look in (other.files.retrieve, other.files.content, other.files.delete):
            with pytest.raises(openai.NotFoundError):
                await look(kept.id)
    assert [one.id async for one in client.files.list()] == [kept.id]  # an operator sees all
