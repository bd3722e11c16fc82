"""Markdown as GitHub and GitLab render it. Texts of records become no markup, link or mention."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

LONGEST = 300
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


def folded(summary: str, body: str) -> str:
    """Give a part that opens when it is asked for. Its summary is plain text: no Markdown is read there."""
    safe = html.escape(summary, quote=False).replace("@", "@<!-- -->")
    return f"<details><summary>{safe}</summary>\n\n{body}\n\n</details>"


def one_line(text: str, longest: int = LONGEST) -> str:
    """Give `text` on one line without control characters, cut to `longest` characters."""
    line = "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
