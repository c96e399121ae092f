"""The report: a single file without external resources, with escaped text and complete differences."""

import base64
import io
import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nanochat.errors import UserError
from nanochat.evaluation.losses import Reading, format_share
from nanochat.evaluation.report import Curve, mark_differences, write_report
from nanochat.metrics import word_overlap

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects elements and text, and fails on tags that do not close."""

    def __init__(self, source: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def reading(name: str, expected: str, read: str, colour: str = "red") -> Reading:
    picture = Image.new("RGB", (40, 30), colour)
    return Reading(name, 0.0123, 3.5, expected, read, word_overlap(read, expected), 0.25, picture)


@pytest.mark.parametrize(
    ("expected", "read", "left", "right"),
    [
        ("a b", "a b", "a b", "a b"),
        ("a b c", "a x c", "a <del>b</del> c", "a <ins>x</ins> c"),
        ("a b c", "a c", "a <del>b </del>c", "a c"),
        ("", "new", "", "<ins>new</ins>"),
        ("<b> & c", "<b> & c", "&lt;b&gt; &amp; c", "&lt;b&gt; &amp; c"),
        ("x", "<script>", "<del>x</del>", "<ins>&lt;script&gt;</ins>"),
    ],
)
def test_mark_differences(expected, read, left, right):
    assert mark_differences(expected, read) == (left, right)


@given(st.text("ab <&\n", max_size=30), st.text("ab <&\n", max_size=30))
def test_marking_differences_keeps_all_characters(expected, read):
    left, right = mark_differences(expected, read)
    assert unescape(re.sub("</?del>", "", left)) == expected
    assert unescape(re.sub("</?ins>", "", right)) == read
    common = [re.sub(r"<(del|ins)>.*?</\1>", "", side, flags=re.DOTALL) for side in (left, right)]
    assert common[0] == common[1]


def test_report_is_a_complete_page(tmp_path):
    readings = [
        reading("receipt_000", "TOTAL 9.00", "TOTAL 9.00"),
        reading("x<y", "one two", "one <i>three</i>", "blue"),
    ]
    curves = [
        Curve("Stage 1", "training", [(step, 5 / (step + 1)) for step in range(1000)]),
        Curve("Stage 1", "validation", [(0, 4.0), (999, float("nan"))]),
        Curve("Stage 2", "training", [(1, 0.0), (2, 0.01)]),
        Curve("Stage 3", "never ran", []),
    ]
    path = write_report(tmp_path / "out" / "report.html", "Run <1> & more", readings, curves, {"Model": "nano <10 M>"})
    source = path.read_text(encoding="utf-8")
    page = Page(source)
    assert "http" not in source and "nan" not in re.findall(r'points="([^"]*)"', source)[0]
    for text in ("Run <1> & more", "nano <10 M>", "1 of 2 documents", "75%", "0.0123", "one <i>three</i>"):
        assert text in page.text
    assert not page.all("i") and not page.all("script") and not page.all("link")
    assert len(page.all("svg")) == 2 and len(page.all("polyline")) == 3
    assert [attributes["id"] for attributes in page.all("article")] == ["receipt_000", "x<y"]
    assert [a["href"] for a in page.all("a")] == ["#receipt_000", "#x<y"]
    sources = [attributes["src"] for attributes in page.all("img")]
    for uri, (red, _, blue) in zip(sources, [(255, 0, 0), (0, 0, 255)], strict=True):
        picture = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))
        assert picture.size == (40, 30)
        pixel = picture.getpixel((5, 5))
        assert isinstance(pixel, tuple) and abs(pixel[0] - red) < 12 and abs(pixel[2] - blue) < 12


def test_curves_stay_within_their_frame(tmp_path):
    curve = Curve("p", "c", [(0, 20.0), (7, 0.00002), (3000, 1.0)])
    source = write_report(tmp_path / "r.html", "t", [reading("a", "b", "b")], [curve]).read_text()
    points = [tuple(map(float, pair.split(","))) for pair in re.findall(r'points="([^"]*)"', source)[0].split()]
    assert points[0][0] < points[1][0] < points[2][0]
    assert points[0][1] < points[2][1] < points[1][1]  # a higher loss lies higher
    assert all(0 <= x <= 560 and 0 <= y <= 260 for x, y in points)


def test_only_a_full_share_is_100_percent():
    assert [format_share(share) for share in (1, 0.99999, 0.5, 0)] == ["100%", "99.9%", "50%", "0%"]


def test_unwritable_path_is_reported(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        write_report(tmp_path / "report.html", "t", [reading("a", "b", "b")])
