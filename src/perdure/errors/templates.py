"""Finds the template behind many messages: `order <*> of <*> was refused`.

Theory of operation: first everything that is a value by its form - numbers, ids, addresses, quoted words, times - gives
way to a mark. Then templates are mined as Drain does (He et al., ICWS 2017): messages of one length that begin alike
lie together in a shallow tree; one joins the template it shares most words with, if they are enough, and where they
differ the template gets a `<*>`. What a message joined never changes afterwards, whatever comes later, so whoever feeds
the same messages in the same order finds the same groups.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["ANY", "Templates", "masked"]

ANY = "<*>"
_ALIKE = 0.5
"""So large a share of words has to be the same."""
_MOST_CHILDREN = 100
_LONGEST = 400
_MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<at>"),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://[^\s'\"<>]{1,300}"), "<url>"),
    (re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,5}\b"), "<email>"),
    (re.compile(r"'[^']{1,200}'|\"[^\"]{1,200}\"|`[^`]{1,200}`"), "<said>"),
    (re.compile(r"(?<![\w/])/(?:[\w.+-]{1,100}/){1,20}[\w.+-]{0,100}"), "<path>"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?\b"), "<host>"),
    (re.compile(r"\b[A-Za-z]{2,8}[_-](?=[\w-]{0,60}\d)[\w-]{6,60}\b"), "<id>"),
    (re.compile(r"\b0x[0-9a-fA-F]{1,16}\b|\b(?=[0-9a-f]{0,63}\d)[0-9a-f]{12,64}\b"), "<id>"),
    (re.compile(r"(?<![\w.])[+-]?\d{1,30}(?:[.,]\d{1,30}){0,10}%?(?:(?=[smhd]\b)|(?=ms\b)|(?!\w))"), "<n>"),
)


def masked(message: str) -> str:
    """Put marks in the place of values.

    Args:
        message (str): What somebody was told.

    Returns:
        str: The same for messages that differ in values alone; on one line, of limited length.
    """
    text = " ".join(message.split())[: 2 * _LONGEST]
    for pattern, mark in _MASKS:
        text = pattern.sub(mark, text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


@dataclass
class _Group:
    words: list[str]
    members: int = 1


@dataclass
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    groups: list[_Group] = field(default_factory=list)


class Templates:
    """Mines templates from messages that are already masked, one after the other."""

    def __init__(self) -> None:
        self._by_length: dict[int, _Node] = {}
        self._groups: list[_Group] = []

    def add(self, message: str) -> int:
        """Find the group that a message belongs to, or begin one.

        Args:
            message (str): Masked.

        Returns:
            int: The group's number: the how-manieth that was begun.
        """
        words = message.split()
        leaf = self._leaf(words)
        best = max(leaf.groups, key=lambda group: _likeness(group.words, words), default=None)
        if best is None or _likeness(best.words, words)[0] < _ALIKE:
            best = _Group(list(words))
            leaf.groups.append(best)
            self._groups.append(best)
        else:
            best.words = [mine if mine == word else ANY for mine, word in zip(best.words, words, strict=True)]
            best.members += 1
        return next(number for number, group in enumerate(self._groups) if group is best)

    def template(self, number: int) -> str:
        """Write the template of a group as it is by now.

        Args:
            number (int): From `add`.

        Returns:
            str: With `<*>` where its messages differ.
        """
        return " ".join(self._groups[number].words)

    def _leaf(self, words: list[str]) -> _Node:
        """By length, then by the first two words; what looks like a value does not lead anywhere of its own."""
        node = self._by_length.setdefault(len(words), _Node())
        for word in words[:2]:
            key = ANY if _is_value(word) or (word not in node.children and len(node.children) >= _MOST_CHILDREN) else word
            node = node.children.setdefault(key, _Node())
        return node


def _likeness(template: list[str], words: list[str]) -> tuple[float, int]:
    same = sum(mine == word for mine, word in zip(template, words, strict=True))
    return (same / max(1, len(words)), template.count(ANY))


def _is_value(word: str) -> bool:
    return "<" in word or any(letter.isdigit() for letter in word)
