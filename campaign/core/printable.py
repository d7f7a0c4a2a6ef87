"""Text of others on its way to a terminal, a page or a store: it reads as text and steers nothing.

Names of jobs and users, headers of traces, the output of nodes, reasons of schedulers and names of
files may hold escape sequences (which set a window's title or the clipboard), characters that turn
the direction of reading, and halves of characters that no encoding can write. The places that show
text call `printable`; those who hand text on need not.
"""

import json
import unicodedata
from collections.abc import Callable
from typing import Any

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""The Unicode categories of what has no look of its own: controls, formats (the overrides of
directions among them), surrogates, private and unassigned characters, separators of lines."""
MULTI_LINE = "\n\t"


def printable(text: str, *, lines: bool = True) -> str:
    """Return `text` with each character of the categories HIDDEN written as its escape.

    The escapes are Python's, such as `\\x1b` and `\\u202e`. Newlines and tabs stay, unless `lines`
    is false: the result then is one line. What was printable already, an escape too, stays as it
    is.
    """
    if text.isprintable():
        return text
    kept = MULTI_LINE if lines else ""
    return "".join(one if one in kept or not _hidden(one) else _escaped(one) for one in text)


def json_text(
    value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None
) -> str:
    """Return `value` as JSON in which the characters of HIDDEN stand as JSON's own escapes.

    Everything else is readable as it is. Raises TypeError for what is no JSON, unless `default`
    makes it so.
    """
    text = json.dumps(value, indent=indent, default=default, ensure_ascii=False)
    if text.isprintable():
        return text
    # JSON has escaped the other controls; newlines are those of the indentation.
    return "".join(
        one if one == "\n" or not _hidden(one) else json.dumps(one)[1:-1] for one in text
    )


def _hidden(character: str) -> bool:
    return not character.isprintable() and unicodedata.category(character) in HIDDEN


def _escaped(character: str) -> str:
    # Surrogates have an escape in this codec too, unlike in UTF-8.
    return character.encode("unicode_escape").decode("ascii")
