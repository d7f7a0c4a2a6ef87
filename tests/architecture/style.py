"""Counts how the Python code of a checkout is written: `python tests/architecture/style.py [ROOT]`.

A code line has anything but blanks, a comment or a docstring; shares are of all lines that aren't
blank. A function's length is that of its body without the docstring. Public is what has no
underscore in front, in modules and classes; what is defined inside a function is not. A
tuple-to-tuple assignment is `a, b = c, d` that is no swap.
"""

import ast
import io
import sys
import tokenize
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

PACKAGES = ("actors", "campaign", "schedulers", "search")
WIDTH = 100
LONGEST_FUNCTION = 50
LONGEST_FILE = 400
Callable = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | Callable
LAYOUT = {
    *(tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENDMARKER, tokenize.COMMENT),
}


@dataclass(frozen=True)
class Function:
    """A function or method: where it stands, how long its body is, and how it presents itself."""

    name: str
    line: int
    length: int
    public: bool
    documented: bool
    annotated: bool


@dataclass(frozen=True)
class Source:
    """One Python file, counted; places are line numbers."""

    path: Path
    lines: int
    filled: int
    code: int
    doc_lines: int
    long: tuple[int, ...]
    comments: int
    inline: int
    tuples: tuple[int, ...]
    functions: tuple[Function, ...]
    classes: tuple[str, ...]
    docstrings: tuple[str, ...]


def read(path: Path) -> Source:
    """Count one file."""
    text = path.read_text()
    tree = ast.parse(text)
    lines = text.splitlines()
    documented = [node for node in ast.walk(tree) if isinstance(node, Documented)]
    doc_lines = {at for node in documented for at in _docstring_lines(node)}
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    used = {at for one in tokens if one.type not in LAYOUT for at in _span(one)}
    filled = {at for at, line in enumerate(lines, 1) if line.strip()}
    comments = [one.start[0] for one in tokens if one.type == tokenize.COMMENT]
    return Source(
        path=path,
        lines=len(lines),
        filled=len(filled),
        code=len((used & filled) - doc_lines),
        doc_lines=len(doc_lines & filled),
        long=tuple(at for at, line in enumerate(lines, 1) if len(line) > WIDTH),
        comments=sum(at not in used for at in comments),
        inline=sum(at in used for at in comments),
        tuples=tuple(node.lineno for node in ast.walk(tree) if _is_tuple_to_tuple(node)),
        functions=tuple(_functions(tree, public=True)),
        classes=tuple(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)),
        docstrings=tuple(filter(None, map(ast.get_docstring, documented))),
    )


def _span(token: tokenize.TokenInfo) -> range:
    return range(token.start[0], token.end[0] + 1)


def _docstring_lines(node: Documented) -> range:
    if ast.get_docstring(node) is None:
        return range(0)
    return range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)


def _functions(node: ast.AST, *, public: bool) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        named = getattr(child, "name", "")
        inside = public and not named.startswith("_")
        if isinstance(child, Callable):
            yield _function(child, public=inside)
            inside = False
        yield from _functions(child, public=inside)


def _function(node: Callable, *, public: bool) -> Function:
    documented = ast.get_docstring(node) is not None
    body = node.body[1:] if documented else node.body
    length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
    return Function(node.name, node.lineno, length, public, documented, _annotated(node))


def _annotated(node: Callable) -> bool:
    given = node.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    missing = [one for one in named if one is not None and one.annotation is None]
    return node.returns is not None and all(one.arg in ("self", "cls") for one in missing)


def _is_tuple_to_tuple(node: ast.AST) -> bool:
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
        return False
    values = sorted(map(ast.unparse, node.value.elts))
    pairs = [target for target in node.targets if isinstance(target, ast.Tuple)]
    return any(sorted(map(ast.unparse, target.elts)) != values for target in pairs)


def product(root: Path) -> list[Source]:
    """Count every file of the product."""
    return [read(path) for name in PACKAGES for path in sorted((root / name).rglob("*.py"))]


def classes_of_one_name(sources: Iterable[Source]) -> dict[str, list[Path]]:
    """Return the names of classes that stand in several files, with these."""
    places = defaultdict[str, list[Path]](list)
    for source in sources:
        for name in dict.fromkeys(source.classes):
            places[name].append(source.path)
    return {name: found for name, found in sorted(places.items()) if len(found) > 1}


def figures(root: Path) -> dict[str, str]:
    """Return the table for the checkout `root`: what is counted, and the figures as text."""
    sources = product(root)
    functions = [one for source in sources for one in source.functions]
    public = [one for one in functions if one.public]
    code = sum(source.code for source in sources)
    filled = sum(source.filled for source in sources)
    docs = sum(source.doc_lines for source in sources)
    over = sum(one.length > LONGEST_FUNCTION for one in functions)
    words = [len(text.split()) for source in sources for text in source.docstrings]
    tuples = sum(len(source.tuples) for source in sources)
    twice = classes_of_one_name(sources)
    classes = {name for source in sources for name in source.classes}
    tests = [read(path) for path in sorted((root / "tests").rglob("*.py"))]
    return {
        "files / code lines": f"{len(sources)} / {code:,}",
        "file lines median / p90 / max": _spread([source.lines for source in sources]),
        "function lines median / p90 / max": _spread([one.length for one in functions]),
        f"functions over {LONGEST_FUNCTION} lines": f"{over} of {len(functions):,}",
        "comment %, own lines / behind code": (
            f"{_share(sum(source.comments for source in sources), filled)} / "
            f"{_share(sum(source.inline for source in sources), filled)}"
        ),
        "doc %": _share(docs, docs + code),
        "public functions with docstring %": _share(sum(f.documented for f in public), len(public)),
        "functions fully annotated %": _share(sum(f.annotated for f in functions), len(functions)),
        "test code / code": f"{sum(test.code for test in tests) / code:.2f}",
        "runtime dependencies (pinned)": _dependencies(root),
        f"lines over {WIDTH} characters %": _share(sum(len(s.long) for s in sources), filled),
        "tuple-to-tuple assignments per 1,000 lines": f"{1000 * tuples / filled:.1f} ({tuples})",
        "docstring words median / p90": " / ".join(_spread(words).split(" / ")[:2]),
        "class names in two or more modules": f"{len(twice)} of {len(classes)}",
    }


def _spread(values: Sequence[int]) -> str:
    ordered = sorted(values)
    p90 = ordered[int(0.9 * (len(ordered) - 1))]
    return f"{median(ordered):g} / {p90} / {ordered[-1]}"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}"


def _dependencies(root: Path) -> str:
    project: Mapping[str, list[str]] = tomllib.loads((root / "pyproject.toml").read_text())[
        "project"
    ]
    required = project["dependencies"]
    return f"{len(required)} ({sum('==' in one for one in required)})"


if __name__ == "__main__":
    for what, figure in figures(Path(sys.argv[1]) if sys.argv[1:] else Path()).items():
        print(f"{what:<44} {figure}")
