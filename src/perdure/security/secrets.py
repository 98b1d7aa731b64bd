"""Nothing secret leaves: whatever looks like a key is struck out before it is written anywhere.

Used on every line of the log and on every text an error carries to a page. Blunt on purpose: a false
hit costs a reader one word, a miss costs somebody a key.
"""

from __future__ import annotations

import re
from typing import Any

STRUCK_OUT = "[redacted]"

# Every repetition that could begin anew at many places has an upper bound, so that no text makes this slow.
_NAMES = r"authorization|api[_-]?key|password|passwd|secret|cookie|(?:access|refresh|session|csrf)[_-]?token"
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
_KEYS = re.compile(
    r"""
      pdr_[A-Za-z0-9]{12,}                                                             # ours, even in the middle of a word
    | \b(?:sk|rk|pk|ghp|gho|github_pat|xox[abprs]|hf|whsec)[_-][A-Za-z0-9_\-]{12,}  # well-known prefixes
    | \b(?:AKIA|ASIA)[A-Z0-9]{12,}
    | \bAIza[A-Za-z0-9_\-]{30,}                                                        # Google's
    | \bgsk_[A-Za-z0-9]{12,} | \bxai-[A-Za-z0-9]{12,} | \bnvapi-[A-Za-z0-9_\-]{12,}
    | \beyJ[A-Za-z0-9_\-]{8,1000}\.[A-Za-z0-9_\-]{8,4000}\.[A-Za-z0-9_\-]*            # JSON web tokens
    """,
    re.VERBOSE,
)
_BEARER = re.compile(r"\b(Bearer|Basic)\s{1,20}[^\s,;\"']{6,}", re.IGNORECASE)
_NAMED = re.compile(
    rf"""(?!(?<=invalid_)api_key:\ [A-Z][a-z]{{1,14}}[\s.,])                                     # what a provider calls the error
         (?P<name>(?:{_NAMES})["']?)(?P<is>\s{{0,20}}[:=]\s{{0,20}})(?P<quote>["']?)
         (?P<value>(?:(?:Bearer|Basic)\s{{1,20}})?[^\s"'&,;}}\]]+)""",
    re.IGNORECASE | re.VERBOSE,
)
_ASKED = re.compile(r"(?P<name>[?&](?:key|token|sig|signature|auth)=)[^\s&#\"'<>]{1,2000}", re.IGNORECASE)
"""In an address, after its question mark."""
_USERINFO = re.compile(r"(?P<user>://[^\s:/@]{0,200}):[^\s/]{1,500}@")

_MAILED = re.compile(
    r"""(?P<name>\b(?:from|cc|reply-to|sender|[a-z-]{0,30}e?mail)["']?\s{0,5}[:=]\s{0,5}["']?)[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,5}""",
    re.IGNORECASE,
)
"""An address in a header, or under its name; elsewhere an address may be what a message is about."""

__all__ = ["STRUCK_OUT", "redact", "redact_facts"]


def redact(text: str) -> str:
    """Strike out whatever looks like a secret.

    Args:
        text (str): Any text.

    Returns:
        str: The same without keys, bearer tokens, passwords in addresses, named secrets and addresses of mail in headers.
    """
    text = _NAMED.sub(rf"\g<name>\g<is>\g<quote>{STRUCK_OUT}", text)
    text = _ASKED.sub(rf"\g<name>{STRUCK_OUT}", text)
    text = _BEARER.sub(rf"\1 {STRUCK_OUT}", text)
    text = _MAILED.sub(rf"\g<name>{STRUCK_OUT}", text)
    text = _USERINFO.sub(rf"\g<user>:{STRUCK_OUT}@", text)
    return _KEYS.sub(STRUCK_OUT, text)


def redact_facts(value: Any, *, name: str = "") -> Any:
    """Strike out secrets in plain data.

    Args:
        value (Any): Text, or dicts and lists of it; anything else is left as it is.
        name (str): What the value is called; what is called `api_key` goes whole.

    Returns:
        Any: A copy without secrets.
    """
    if name and _SECRET_NAME.search(name) and value is not None:
        return STRUCK_OUT
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redact_facts(item, name=str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_facts(item) for item in value]
    return value
