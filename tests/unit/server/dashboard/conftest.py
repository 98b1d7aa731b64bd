from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest


@dataclass
class Browser:
    """Keeps cookies and knows the token of the page it looks at, as a person's browser would."""

    served: object
    cookies: dict[str, str] = field(default_factory=dict)
    token: str = ""

    async def get(self, path, **headers):
        answer = await self.served.call("GET", path, key=None, headers=self._headers(headers))
        self._keep(answer)
        if found := re.search(r'name="csrf" value="([^"]+)"', answer.text):
            self.token = found[1]
        return answer

    async def submit(self, path, _headers=None, **fields):
        form = urlencode({"csrf": self.token, **fields}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded", **(_headers or {})}
        answer = await self.served.call("POST", path, key=None, raw=form, headers=self._headers(headers))
        self._keep(answer)
        return answer

    async def log_in(self, key=None):
        await self.get("/login")
        answer = await self.submit("/login", key=key or self.served.key)
        assert answer.status == 303, answer.text
        await self.get("/")
        return self

    def _headers(self, more):
        sent = {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}
        return {**sent, **{name.replace("_", "-"): value for name, value in more.items()}}

    def _keep(self, answer):
        for cookie in answer.headers.getall("set-cookie", []):
            name, _, rest = cookie.partition("=")
            value = rest.partition(";")[0]
            if "Max-Age=0" in rest:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value


@pytest.fixture
def browser(served):
    return Browser(served)


@pytest.fixture
async def inside(browser):
    """A browser with an operator logged in."""
    return await browser.log_in()
