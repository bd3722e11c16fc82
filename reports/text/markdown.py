"""Markdown as GitHub and GitLab render it. Texts of records become no markup, link or mention."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence

LONGEST = 300
MOST_BYTES = 60_000
ROWS = (200, 50, 20, 5, 0)
"""How many rows of a long list are tried, until the whole fits."""
_MARKUP = re.compile(r"([\\`*_~\[\]|])")


def escaped(text: str, longest: int = LONGEST) -> str:
    """Give `text` on one line, as it reads; cut to `longest` characters."""
    safe = _MARKUP.sub(r"\\\1", html.escape(one_line(text, longest), quote=False))
    return safe.replace("@", "@<!-- -->")  # mentions nobody


def code(text: str, longest: int = LONGEST) -> str:
    """Give `text` on one line in code's type; good in a table's cell."""
    return f"`{one_line(text, longest).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def code_block(text: str) -> str:
    """Give lines of code; a fence in them does not end the block."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> str:
    """Give a table of cells that are Markdown already; columns named in `right` are set flush right."""
    rule = ["---:" if name in right else "---" for name in columns]
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *rows))


def fitting(make: Callable[[int], str], short: str, most_bytes: int = MOST_BYTES) -> str:
    """Give what `make` writes with as many rows of each list as `most_bytes` of UTF-8 have room for.

    `short`: what stands there, cut, where even lists without a row do not fit.
    """
    for rows in ROWS:
        text = make(rows)
        if len(text.encode()) <= most_bytes:
            return text
    note = "\n\n(cut)\n"
    return short.encode()[: most_bytes - len(note)].decode(errors="ignore") + note


def cut(listed: Sequence[object], rows: int, where: str) -> str:
    """Say how many of `listed` are left out, and which file has them."""
    left = len(listed) - rows
    return f"\n\n{left:,} more are in {where}." if left > 0 else ""


def folded(summary: str, body: str) -> str:
    """Give a part that opens when it is asked for. Its summary is plain text: no Markdown is read there."""
    safe = html.escape(summary, quote=False).replace("@", "@<!-- -->")
    return f"<details><summary>{safe}</summary>\n\n{body}\n\n</details>"


def one_line(text: str, longest: int = LONGEST) -> str:
    """Give `text` on one line without control characters, cut to `longest` characters."""
    line = "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
