"""The timeline as an SVG: one bar for each step, from its beginning to its end."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from farshore.core.drill import DrillStep

WIDTH, NAMES, ROW, TOP = 900, 210, 22, 26
"""Pixels: the whole picture, the column of names, one row, the scale above them."""

BAR_MIN = 2.0
TICKS = 5
ROWS_MAX = 400

COLOURS = {"ok": "#2e7d32", "skipped": "#9e9e9e", "failed": "#c62828", "unknown": "#ef6c00"}


def timeline(steps: Sequence[DrillStep]) -> str:
    """An `svg` element; "" where there is nothing to draw."""
    drawn = list(steps)[:ROWS_MAX]
    if not drawn:
        return ""
    began = min(step.began_at for step in drawn)
    span = max(max(step.ended_at for step in drawn) - began, 0.001)
    height = TOP + ROW * len(drawn) + 6
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg">',
        "<title>When each step began, and how long it took</title>",
        *(_tick(number, span, height) for number in range(TICKS + 1)),
        *(_bar(row, step, began, span) for row, step in enumerate(drawn)),
        "</svg>",
    ]
    return "\n".join(parts)


def _x(seconds: float, span: float) -> float:
    return NAMES + (WIDTH - NAMES - 70) * min(max(seconds / span, 0.0), 1.0)


def _tick(number: int, span: float, height: int) -> str:
    seconds = span * number / TICKS
    x = _x(seconds, span)
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height}" class="tick"/>'
    return f'{line}<text x="{x:.1f}" y="14" class="scale">{seconds:.3g} s</text>'


def _bar(row: int, step: DrillStep, began: float, span: float) -> str:
    y = TOP + ROW * row
    left = _x(step.began_at - began, span)
    wide = max(_x(step.ended_at - began, span) - left, BAR_MIN)
    name = escape(f"{step.group} {step.id}".strip())
    words = escape(f"{step.what} {step.note}".strip())
    return (
        f"<g><title>{words}</title>"
        f'<text x="{NAMES - 8}" y="{y + 15}" class="name">{name}</text>'
        f'<rect x="{left:.1f}" y="{y + 3}" width="{wide:.1f}" height="{ROW - 7}" rx="2" '
        f'fill="{COLOURS[step.outcome]}"/>'
        f'<text x="{left + wide + 5:.1f}" y="{y + 15}" class="took">{step.seconds:.2f} s</text></g>'
    )
