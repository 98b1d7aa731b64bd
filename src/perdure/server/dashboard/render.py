"""Templates and the few files beside them, read once; nothing comes from anywhere else."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from perdure.clock import iso
from perdure.messages import ids
from perdure.security.secrets import redact
from perdure.server.answer import Answer
from perdure.server.dashboard import words

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# `same-origin` and not `no-referrer`: with the latter browsers hide even from us where a form comes from.
_SAFE = (("content-security-policy", CSP), ("referrer-policy", "same-origin"))
_KINDS = {"app.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8", "favicon.svg": "image/svg+xml"}

__all__ = ["CSP", "Renderer"]


class Renderer:
    """Makes pages."""

    def __init__(self) -> None:
        folder = files("perdure.server.dashboard") / "static"
        self._files = {name: (folder / name).read_bytes() for name in _KINDS}
        self._version = hashlib.sha256(b"".join(self._files.values())).hexdigest()[:12]
        self._env = Environment(
            loader=PackageLoader("perdure.server.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._env.filters.update(
            iso=iso,
            msg=ids.write,
            span=words.span,
            number=words.number,
            pretty=words.pretty,
            excerpt=words.excerpt,
            answer=words.answer_text,
            clean=redact,
        )
        self._env.globals.update(duration=words.duration, version=self._version)

    def page(self, name: str, *, status: int = 200, headers: tuple[tuple[str, str], ...] = (), **facts: Any) -> Answer:
        """Make a page.

        Args:
            name (str): Of its template, without `.html`.
            status (int): The HTTP status.
            headers (tuple[tuple[str, str], ...]): Further headers.
            **facts (Any): What the template shows.

        Returns:
            Answer: With the strict content security policy of all pages.
        """
        body = self._env.get_template(f"{name}.html").render(**facts).encode("utf-8", "replace")
        return Answer(status, body, "text/html; charset=utf-8", (*_SAFE, *headers))

    def file(self, name: str) -> Answer | None:
        """Get one of the files beside the templates.

        Args:
            name (str): Its name, as anybody may ask for it.

        Returns:
            Answer | None: To be kept for a year, since its address changes with it; None if there is none.
        """
        if name not in self._files:
            return None
        return Answer(200, self._files[name], _KINDS[name], (("cache-control", "public, max-age=31536000, immutable"),))
