"""A bar chart as SVG, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Bar", "chart"]
_LEFT, _WIDTH, _BAR, _GAP, _HEAD = 190, 760, 16, 7, 34


@dataclass(frozen=True)
class Bar:
    """One contender's figure, with the lowest and highest of its rounds."""

    label: str
    value: float
    low: float
    high: float
    kind: str  # ours, limit, peer


_COLOURS = {"ours": "#2f6fdd", "limit": "#9aa4b2", "peer": "#c98a2b"}


def chart(title: str, groups: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Draw groups of horizontal bars; each group has its own scale.

    Args:
        title (str): For who cannot see it.
        groups (Sequence[tuple[str, Sequence[Bar]]]): A heading and its bars.

    Returns:
        str: SVG.
    """
    parts: list[str] = []
    top = 6
    for heading, bars in groups:
        if not bars:
            continue
        parts.append(f'<text x="0" y="{top + 16}" class="head">{escape(heading)}</text>')
        top += _HEAD - 6
        most = max(bar.high for bar in bars) or 1.0  # nobody has any: bars of no length
        for bar in bars:
            parts.append(_row(bar, top, (_WIDTH - _LEFT - 80) / most))
            top += _BAR + _GAP
        top += 14
    style = (
        "text{font:12px system-ui,sans-serif;fill:#333}.head{font-weight:600;font-size:13px}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img">'
        f"<title>{escape(title)}</title><style>{style}</style>{''.join(parts)}</svg>\n"
    )


def _row(bar: Bar, top: float, scale: float) -> str:
    middle, width = top + _BAR / 2, max(1.0, bar.value * scale)
    whisker = (
        f'<path d="M{_LEFT + bar.low * scale:.1f} {middle}H{_LEFT + bar.high * scale:.1f}" stroke="#666" stroke-width="1.2"/>'
        if bar.high > bar.low
        else ""
    )
    return (
        f'<text x="{_LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{_COLOURS[bar.kind]}"/>{whisker}'
        f'<text x="{_LEFT + max(width, bar.high * scale) + 6:.1f}" y="{middle + 4}">{bar.value:,.0f}</text>'
    )
