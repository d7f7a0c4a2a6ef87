"""The house: folders import one way, and few modules stand loose.

The order of the folders is the contract of import-linter in pyproject.toml (`make check`).
"""

from pathlib import Path

import pytest

from tests.architecture.folders import circles, edges

ROOT = Path(__file__).parents[2]


def test_no_folder_reaches_itself_through_others():
    _, between = edges(ROOT)
    assert circles(between) == []


@pytest.mark.parametrize(
    ("package", "loose"),
    [
        ("campaign", {"__init__", "__main__", "api", "search"}),
        ("actors", {"__init__", "libvirt_testbed"}),
    ],
)
def test_few_modules_stand_loose(package, loose):
    assert {path.stem for path in (ROOT / package).glob("*.py")} == loose


def test_a_circle_is_found(tmp_path):
    """With two folders that import each other, once inside a function."""
    for name, text in {
        "campaign/one/a.py": "from campaign.two import b\n",
        "campaign/two/b.py": "def f():\n    from campaign.one import a\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    _, between = edges(tmp_path)
    assert circles(between) == [["campaign.one", "campaign.two"]]
