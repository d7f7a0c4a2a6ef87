"""The list of checksums has one form: what differs from it was altered."""

import pytest

from campaign.publication.checksums import SUMS, sums_of, text_of, wrong_files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "a").write_text("a")
    (tmp_path / "inner" / "b c").write_text("b")
    (tmp_path / SUMS).write_text(text_of(sums_of(tmp_path)))
    return tmp_path


def test_what_is_whole_is_right(folder):
    assert list(wrong_files(folder)) == []


@pytest.mark.parametrize(
    "alter",
    [
        lambda text: text.removesuffix("\n"),
        lambda text: text + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "".join(reversed(text.splitlines(keepends=True))),
        lambda text: text.replace("  ", " *"),
        lambda text: "",
    ],
)
def test_a_list_in_another_form_is_wrong(folder, alter):
    sums = folder / SUMS
    sums.write_bytes(alter(sums.read_text()).encode())
    assert list(wrong_files(folder))


def test_a_link_in_the_place_of_a_file_is_wrong(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "a"
    (folder / "a").rename(elsewhere)
    (folder / "a").symlink_to(elsewhere)
    assert [one.path.name for one in wrong_files(folder)] == ["a"]


def test_a_name_that_no_line_can_hold_is_refused():
    with pytest.raises(ValueError, match="line break"):
        text_of({"a\nb": "0" * 64})
