"""What the code is held to: widths, lengths, one assignment a line, one meaning for a class' name.

`python tests/architecture/style.py` prints all figures.
"""

from pathlib import Path

import pytest

from tests.architecture.style import (
    LONGEST_FILE,
    LONGEST_FUNCTION,
    classes_of_one_name,
    figures,
    product,
    read,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sources():
    return product(ROOT)


def at(source, line):
    return f"{source.path.relative_to(ROOT)}:{line}"


def test_no_line_is_too_wide(sources):
    assert [at(one, line) for one in sources for line in one.long] == []


def test_no_function_is_too_long(sources):
    long = [
        at(source, one.line)
        for source in sources
        for one in source.functions
        if one.length > LONGEST_FUNCTION
    ]
    assert long == []


def test_no_file_is_too_long(sources):
    assert [at(one, one.lines) for one in sources if one.lines > LONGEST_FILE] == []


def test_each_assignment_has_a_line(sources):
    assert [at(one, line) for one in sources for line in one.tuples] == []


def test_no_class_name_stands_for_two_things(sources):
    assert classes_of_one_name(sources) == {}


WRITTEN = '''"""A module."""
a, b = 1, 2
b, a = a, b
first, second = divmod(7, 2)


class Twice:
    """A class."""

    def shown(self, of: int) -> int:
        """Do nothing much."""
        # why
        return of  # because

    def _hidden(self, of):
        def inner():
            pass

        return inner
'''


def test_what_is_counted(tmp_path):
    """By a file in which each thing is known."""
    for package in ("campaign", "actors"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "one.py").write_text(WRITTEN)
    (tmp_path / "campaign" / "wide.py").write_text("x = '" + 96 * "x" + "'\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["a==1", "b>=2"]\n')
    found = read(tmp_path / "campaign" / "one.py")
    assert (found.code, found.doc_lines, found.comments, found.inline) == (10, 3, 1, 1)
    assert found.tuples == (2,)
    assert [(f.name, f.length, f.public, f.documented, f.annotated) for f in found.functions] == [
        ("shown", 1, True, True, True),
        ("_hidden", 4, False, False, False),
        ("inner", 1, False, False, False),
    ]
    assert read(tmp_path / "campaign" / "wide.py").long == (1,)
    assert list(classes_of_one_name(product(tmp_path))) == ["Twice"]
    table = figures(tmp_path)
    assert table["class names in two or more modules"] == "1 of 1"
    assert table["runtime dependencies (pinned)"] == "2 (1)"
    assert table["public functions with docstring %"] == "100.0"
