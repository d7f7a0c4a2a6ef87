"""Counts the folders of the product, the imports between them, and the circles that these form.

`python tests/architecture/folders.py [ROOT]` prints the figures of the checkout at ROOT (this one
by default), twice: with each folder as a node, and with each wing, a folder and all below it, as
one. A module that stands loose in a package is a node of its own. Imports inside functions and
under TYPE_CHECKING count as well, since a reader has to follow them too.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("campaign", "actors", "schedulers", "search")


def modules(root: Path) -> dict[str, Path]:
    """Return every product module of a checkout by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the product modules that the module at `path` imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                name = submodule if submodule in known else node.module
                if name in known:
                    yield name
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def node_of(module: str, path: Path) -> str:
    """Return the folder that a module belongs to, or the module itself where it stands loose."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return module if package in PACKAGES and path.name != "__init__.py" else package


def edges(root: Path) -> tuple[set[str], set[tuple[str, str]]]:
    """Return the nodes of a checkout, and the pairs (importer, imported) between them."""
    known = modules(root)
    nodes = {name: node_of(name, path) for name, path in known.items()}
    between = {
        (nodes[name], nodes[other])
        for name, path in known.items()
        for other in imports(path, known)
        if nodes[name] != nodes[other]
    }
    return set(nodes.values()), between


def wing_of(node: str) -> str:
    """Return the wing of a node: of campaign and actors the folder below them, else the package."""
    package, _, below = node.partition(".")
    return f"{package}.{below.split('.')[0]}" if package in ("campaign", "actors") else package


def as_wings(
    nodes: set[str], between: set[tuple[str, str]]
) -> tuple[set[str], set[tuple[str, str]]]:
    """Return the same nodes and pairs with every wing as one node."""
    wings = {(wing_of(importer), wing_of(imported)) for importer, imported in between}
    return {wing_of(node) for node in nodes}, {(one, other) for one, other in wings if one != other}


def circles(between: set[tuple[str, str]]) -> list[list[str]]:
    """Return the groups of nodes that reach one another, each sorted (Tarjan's components)."""
    following: dict[str, set[str]] = {}
    for importer, imported in between:
        following.setdefault(importer, set()).add(imported)
    reach = {node: _reached(node, following) for node in following}
    groups = {
        frozenset(other for other in reach[node] if node in reach.get(other, ())) for node in reach
    }
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reached(start: str, following: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    left = [start]
    while left:
        for other in following.get(left.pop(), ()):
            if other not in seen:
                seen.add(other)
                left.append(other)
    return seen


def main() -> None:
    """Print the figures of a checkout."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2]
    nodes, between = edges(root)
    for what, (some, pairs) in {
        "folders": (nodes, between),
        "wings": as_wings(nodes, between),
    }.items():
        print(f"{what}: {len(some)} nodes, {len(pairs)} edges")
        for circle in circles(pairs):
            print(f"  circle: {', '.join(circle)}")


if __name__ == "__main__":
    main()
