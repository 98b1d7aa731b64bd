"""The openai client with its own retries, at one deployment. Gets its orders as JSON, says what became of each message."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request

from openai import AsyncOpenAI


async def main() -> None:
    orders = json.loads(sys.argv[1])
    client = AsyncOpenAI(base_url=orders["urls"][orders["deployment"]], api_key="sk-bench", timeout=orders["timeout_s"])
    urllib.request.urlopen(orders["begin"], data=b"", timeout=10).close()  # the day begins
    began = time.monotonic()

    async def one(message: int, at: float) -> dict[str, object]:
        await asyncio.sleep(max(0.0, at - (time.monotonic() - began)))
        asked = [{"role": "user", "content": f"message {message}"}]
        try:
            answer = await client.chat.completions.create(model="m", messages=asked)
            text = answer.choices[0].message.content
        except Exception as error:
            return {"message": message, "error": type(error).__name__, "ended": time.monotonic() - began}
        return {"message": message, "text": text, "ended": time.monotonic() - began}

    ended = await asyncio.gather(*(one(message, at) for message, at in enumerate(orders["starts"])))
    print(json.dumps(ended))


asyncio.run(main())
