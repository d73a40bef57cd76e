"""Format numbers, durations and Markdown for people, independently of the locale."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

NOTHING = "-"
"""Shown in cells without a value."""

SECONDS_PER_MINUTE, SECONDS_PER_HOUR = 60, 3600

_inside_values = re.compile(
    r"(?<=\d) (?=%|MB\b|(?:ms|s|m|h)\b|to [\d-])|(?<=\d[ \u00a0][mh]) (?=\d)|(?<=\d to) (?=[\d-])"
)
_special = re.compile(r"[\\`*|<>\[\]~$]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")


_unsafe = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, line separators, and what reorders text."""


def visible(text: str) -> str:
    r"""Return a text with its control characters as escapes such as \x1b."""
    return _unsafe.sub(lambda match: ascii(match[0])[1:-1], text)


def visible_json(text: str) -> str:
    r"""Return JSON with its control characters as the escapes of JSON, such as \u009b."""
    return _unsafe.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def escape(text: str) -> str:
    """Escape `text` as one line of Markdown, for paragraphs and table cells."""
    return _special.sub(r"\\\g<0>", visible(" ".join(text.split())))


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a table with the first `left` columns aligned left, and the others right.

    Columns on the right have values, in which no line is broken.
    """
    rule = [":---" if index < left else "---:" for index in range(len(headers))]
    lines = ([*row[:left], *map(unbroken, row[left:])] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in (headers, rule, *lines))


def fence(code: str) -> str:
    """Return a fenced block of shell code."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}sh\n{code.strip()}\n{ticks}"


def fold(summary: str, content: str) -> str:
    """Return content that is collapsed under its summary."""
    return f"<details>\n<summary>{summary}</summary>\n\n{content}\n\n</details>"


def fold_if_long(content: str, rows: int, noun: str, most: int) -> str:
    """Fold a table away if it has more than this many rows."""
    return fold(number_of(rows, noun), content) if rows > most else content


def join_parts(*parts: str) -> str:
    """Join paragraphs, leaving out empty ones."""
    return "\n\n".join(part for part in parts if part)


def name_first(names: Sequence[str], most: int) -> str:
    """Join the first names with commas, and count the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def unbroken(text: str) -> str:
    """Return a value, such as 0.823 ± 0.007, that no line is broken in."""
    return text.replace(" ", "\u00a0")


def unbroken_values(text: str) -> str:
    """Return prose in which no line is broken within a value, such as 95 % or 0.80 to 0.85."""
    return _inside_values.sub("\u00a0", text)


def score(value: float | None) -> str:
    """Format a metric with three decimals."""
    return NOTHING if value is None else f"{value:z.3f}"


def change(value: float | None) -> str:
    """Format the difference of two metrics, with its sign."""
    return NOTHING if value is None else f"{value:+z.3f}"


def count(value: float | None) -> str:
    """Format a count with thousands separators; the median of two counts may end in .5."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def share(part: float, whole: float) -> str:
    """Format a ratio as a percentage without decimals."""
    return f"{part / whole:.0%}" if whole else "0%"


def number_of(value: int, noun: str) -> str:
    """Format a count with its noun, such as '1 trial' or '1,000 trials'."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Format a time such as 4.2 s, 1 m 23 s or 2 h 03 m."""
    if seconds is None:
        return NOTHING
    if round(seconds, 1) < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < SECONDS_PER_MINUTE:
        return f"{whole} s"
    if whole < SECONDS_PER_HOUR:
        return f"{whole // SECONDS_PER_MINUTE} m {whole % SECONDS_PER_MINUTE:02} s"
    minutes = round(seconds / SECONDS_PER_MINUTE)
    return f"{minutes // 60} h {minutes % 60:02} m"


def setting(value: object) -> str:
    """Format the value of a hyperparameter; floats have three significant digits."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return escape(value if isinstance(value, str) else json.dumps(value))


def listing(names: Sequence[str]) -> str:
    """Join names as in a sentence: a, b and c."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


TINY_USD, CENT, WHOLE_USD = 0.0001, 0.01, 100


def dollars(usd: float) -> str:
    """Format an amount such as $0.0042, $1.35 or $1,200."""
    if 0 < usd < TINY_USD:
        return f"under ${TINY_USD}"
    if usd >= WHOLE_USD:
        return f"${usd:,.0f}"
    return f"${usd:.2f}" if usd == 0 or usd >= CENT else f"${usd:.2g}"
