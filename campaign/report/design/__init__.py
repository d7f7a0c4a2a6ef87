"""The look of all pages and pictures: tones for light and dark, one style sheet, one script.

A page takes `page_style` and `script`; a picture inside it takes its tones from the page. A picture
in a file of its own has no page around it, and takes `picture_style`.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

# Okabe-Ito and its relatives: told apart with every kind of colour blindness, and in print.
LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "wash": "#f3f5f8",
    "ink": "#1f2933",
    "soft": "#52606d",
    "line": "#d9dee4",
    "front": "#0069a6",
    "other": "#7b8794",
    "baseline": "#b34700",
    "good": "#00684a",
    "bad": "#b34700",
    "queue": "#8a6a00",
    "label": "#ffffff",
    "failed": "#b34700",
    "job0": "#33658a",
    "job1": "#3f6f60",
    "job2": "#4c6a81",
    "job3": "#2f4858",
    "job4": "#5f6b3f",
    "job5": "#4a628a",
}
"""The tones by name, on white paper. Text on paper, and labels on jobs, have 4.5:1 or more."""
DARK: Mapping[str, str] = {
    "paper": "#14181d",
    "wash": "#1d232a",
    "ink": "#e6e9ed",
    "soft": "#a9b2bc",
    "line": "#363f49",
    "front": "#6cbcf0",
    "other": "#86919d",
    "baseline": "#f2a65e",
    "good": "#63cfa5",
    "bad": "#f2a65e",
    "queue": "#d8b64a",
    "label": "#14181d",
    "failed": "#f2a65e",
    "job0": "#8db9dc",
    "job1": "#93c7b3",
    "job2": "#b3c3d1",
    "job3": "#7fa3bd",
    "job4": "#bac58f",
    "job5": "#a9bfe0",
}
"""The same tones on dark paper."""
JOB_TONES = 6
_USE = re.compile(r"var\(--([a-z0-9]+)\)")


@cache
def page_style() -> str:
    """Return the style sheet of a page, with the pictures in it, for light, dark and print."""
    dark = f"@media screen and (prefers-color-scheme:dark){{:root{{{_set(DARK)}}}}}"
    scheme = ":root{color-scheme:light dark;" + _set(LIGHT) + "}"
    return f"{scheme}{dark}{_file('charts.css')}{_file('page.css')}"


@cache
def picture_style() -> str:
    """Return the style sheet of a picture in a file of its own, on white paper.

    Its tones are written out: most programs that read SVG know no variables.
    """
    return _USE.sub(lambda found: LIGHT[found[1]], _file("charts.css"))


@cache
def script() -> str:
    """Return the script of a page: sorting, filtering, tool tips, saving. It asks for nothing."""
    return _file("page.js")


def _set(tones: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{tone};" for name, tone in tones.items())


def _file(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
