"""The elements of our pictures: escaped, short, and with a size of their own."""

from xml.etree import ElementTree

import pytest

from campaign.report import svg

NAMESPACE = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (12.0, "12"), (12.04, "12"), (12.06, "12.1"), (-0.04, "0"), (-3.14159, "-3.1")],
)
def test_a_coordinate_is_rounded_to_a_tenth_without_zeros(value, written):
    assert svg.pixels(value) == written


def test_texts_tips_titles_and_classes_are_escaped():
    hostile = '<script>"&'
    parts = [
        svg.text(1, 2, hostile, css=hostile),
        svg.rect(1, 2, 3, 4, fill=hostile, tip=hostile),
        svg.line(0, 0, 1, 1, css=hostile),
        svg.polyline([(0, 0), (1, 1)], css=hostile),
    ]
    drawn = svg.document(parts, width=10, height=10, title=hostile, css=hostile, style="*{}")
    root = ElementTree.fromstring(drawn)
    assert "<script>" not in drawn
    text, rect, line, path = list(root)[2:]
    assert text.text == rect[0].text == root[0].text == root.get("aria-label") == hostile
    assert {one.get("class") for one in (root, text, line, path)} == {hostile}


def test_a_picture_has_a_size_of_its_own_and_scales():
    drawn = svg.document([], width=960, height=120.5, title="a picture")
    root = ElementTree.fromstring(drawn)
    assert (root.get("width"), root.get("height")) == ("960", "120.5")
    assert root.get("viewBox") == "0 0 960 120.5"
    assert root.get("role") == "img"


def test_a_link_says_what_it_leads_to_and_the_keyboard_may_pass_over_it():
    drawn = svg.circle(1, 2, 3)
    linked = svg.link(drawn, "#trial-1", 'a "tip"', reached=False)
    assert 'href="#trial-1" tabindex="-1" aria-label="a &quot;tip&quot;"' in linked
    assert "tabindex" not in svg.link(drawn, "#trial-1", "a tip")
    assert svg.link(drawn, "", "a tip") == drawn


def test_polylines_are_one_path_and_nothing_draws_nothing():
    drawn = svg.lines([[(0, 0), (5, 0), (5, 7.25), (9, 9)], [], [(1, 1), (1, 1)]], css="wait")
    assert drawn == '<path d="M0 0H5V7.2L9 9M1 1H1" class="wait"/>'
    assert svg.polyline([(0, 0), (2, 3)], closed=True) == '<path d="M0 0L2 3Z"/>'
    assert svg.lines([]) == svg.polyline([]) == ""


def test_a_turned_text_stands_where_it_is_put():
    assert svg.text(16, 20, "jobs", turned=True) == (
        '<text transform="translate(16 20) rotate(-90)">jobs</text>'
    )
    assert svg.group(["a", "b"], x=1, y=2.5) == '<g transform="translate(1 2.5)">ab</g>'
