"""LiteLLM's Router with its retries, cooldowns and fallbacks, over both deployments."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request

from litellm import Router


def deployed(name: str, url: str, timeout_s: float) -> dict[str, object]:
    return {"model_name": name, "litellm_params": {"model": "openai/m", "api_base": url, "api_key": "sk-bench", "timeout": timeout_s}}


async def main() -> None:
    orders = json.loads(sys.argv[1])
    a, b, timeout_s = orders["urls"]["a"], orders["urls"]["b"], orders["timeout_s"]
    router = Router(
        model_list=[deployed("m", a, timeout_s), deployed("m", b, timeout_s), deployed("spare", b, timeout_s)],
        routing_strategy="simple-shuffle",
        num_retries=3,
        fallbacks=[{"m": ["spare"]}],
    )
    urllib.request.urlopen(orders["begin"], data=b"", timeout=10).close()  # the day begins
    began = time.monotonic()

    async def one(message: int, at: float) -> dict[str, object]:
        await asyncio.sleep(max(0.0, at - (time.monotonic() - began)))
        asked = [{"role": "user", "content": f"message {message}"}]
        try:
            answer = await router.acompletion(model="m", messages=asked)
            text = answer.choices[0].message.content
        except Exception as error:
            return {"message": message, "error": type(error).__name__, "ended": time.monotonic() - began}
        return {"message": message, "text": text, "ended": time.monotonic() - began}

    ended = await asyncio.gather(*(one(message, at) for message, at in enumerate(orders["starts"])))
    print(json.dumps(ended))


asyncio.run(main())
