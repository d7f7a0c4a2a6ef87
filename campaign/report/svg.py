"""SVG pictures: the few elements that all our pictures are made of, and the document around them.

Coordinates are pixels of the document's own size. They are written to a tenth of a pixel, without
zeros at the end: a Gantt chart has tens of thousands of them.
"""

from collections.abc import Iterable, Sequence
from html import escape

from campaign.core.printable import printable


def pixels(value: float) -> str:
    """Return a coordinate or a length as text, rounded to a tenth of a pixel."""
    # Hundredths can't be seen, and digits are most of a large chart's bytes.
    rounded = f"{value:.1f}".removesuffix(".0")
    return "0" if rounded == "-0" else rounded


def text(
    x: float, y: float, content: str, *, css: str = "", anchor: str = "", turned: bool = False
) -> str:
    """Return `content`, escaped, at the point (x, y) of its baseline.

    `anchor` says which part of the text stands there: its start (the default), middle or end.
    If `turned`, it reads upwards, as at a vertical axis.
    """
    place = f'x="{pixels(x)}" y="{pixels(y)}"'
    if turned:
        place = f'transform="translate({pixels(x)} {pixels(y)}) rotate(-90)"'
    return f"<text {place}{_attributes(css, text_anchor=anchor)}>{_escaped(content)}</text>"


def rect(
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    css: str = "",
    fill: str = "",
    tip: str = "",
) -> str:
    """Return a rectangle from its upper left corner; `tip` is shown while the mouse is over it."""
    box = (
        f'<rect x="{pixels(x)}" y="{pixels(y)}" width="{pixels(width)}" height="{pixels(height)}"'
        f"{_attributes(css, fill=fill)}"
    )
    return f"{box}><title>{_escaped(tip)}</title></rect>" if tip else f"{box}/>"


def line(x1: float, y1: float, x2: float, y2: float, *, css: str = "") -> str:
    """Return a straight line from (x1, y1) to (x2, y2)."""
    return (
        f'<line x1="{pixels(x1)}" y1="{pixels(y1)}" x2="{pixels(x2)}" y2="{pixels(y2)}"'
        f"{_attributes(css)}/>"
    )


def polyline(points: Iterable[tuple[float, float]], *, css: str = "", closed: bool = False) -> str:
    """Return straight lines through `points`, and back to the first of them if `closed`."""
    return lines([list(points)], css=css, closed=closed)


def lines(
    polylines: Iterable[Sequence[tuple[float, float]]],
    *,
    css: str = "",
    fill: str = "",
    closed: bool = False,
) -> str:
    """Return many polylines as one element; an empty text if there are none."""
    drawn = "".join(_path(points) + "Z" * closed for points in polylines if points)
    return f'<path d="{drawn}"{_attributes(css, fill=fill)}/>' if drawn else ""


def circle(x: float, y: float, radius: float, *, css: str = "") -> str:
    """Return a circle around (x, y)."""
    place = f'cx="{pixels(x)}" cy="{pixels(y)}" r="{pixels(radius)}"'
    return f"<circle {place}{_attributes(css)}/>"


def link(drawn: str, href: str, tip: str, *, reached: bool = True) -> str:
    """Return `drawn` as a link to a place in its page, which says `tip` when it is pointed at.

    The keyboard passes over it unless it is to be `reached`. Without `href` it is no link.
    """
    if not href:
        return drawn
    order = "" if reached else ' tabindex="-1"'
    name = _escaped(tip)
    return f'<a href="{_escaped(href)}"{order} aria-label="{name}" data-tip="{name}">{drawn}</a>'


def group(parts: Iterable[str], *, x: float, y: float) -> str:
    """Return `parts`, moved right by `x` and down by `y`."""
    return f'<g transform="translate({pixels(x)} {pixels(y)})">{"".join(parts)}</g>'


def document(
    parts: Iterable[str],
    *,
    width: float,
    height: float,
    title: str,
    css: str = "",
    style: str = "",
    role: str = "img",
) -> str:
    """Return a picture of `width` times `height` pixels that stands alone or inside a page.

    It has a size as well as a `viewBox`: a viewer that shows it in a frame of its own, as MLflow's
    does, would give it no room otherwise. `title` is what a screen reader says; `style` is a sheet
    of CSS, which inside a page holds for the whole page unless its selectors begin with `css`, the
    document's class. Its `role` is "group" where there are links in it.
    """
    wide = pixels(width)
    high = pixels(height)
    name = _escaped(title)
    # Inside a page, a title would be shown wherever the mouse is over the picture.
    own = f"<title>{name}</title><style>{style}</style>" if style else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg"{_attributes(css)} viewBox="0 0 {wide} {high}" '
        f'width="{wide}" height="{high}" role="{role}" aria-label="{name}">'
        f"{own}{''.join(parts)}</svg>"
    )


def _attributes(css: str, **others: str) -> str:
    """Return the attributes that have a value, each after a space."""
    named = {"class": css, **{name.replace("_", "-"): value for name, value in others.items()}}
    return "".join(f' {name}="{_escaped(value)}"' for name, value in named.items() if value)


def _escaped(content: str) -> str:
    # XML can't hold controls, not even as references.
    return escape(printable(content))


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Return the points as steps of a path; horizontal and vertical ones are written shorter."""
    x, y = (pixels(value) for value in points[0])
    steps = [f"M{x} {y}"]
    for point in points[1:]:
        next_x, next_y = (pixels(value) for value in point)
        if next_y == y:
            steps.append(f"H{next_x}")
        elif next_x == x:
            steps.append(f"V{next_y}")
        else:
            steps.append(f"L{next_x} {next_y}")
        x = next_x
        y = next_y
    return "".join(steps)
