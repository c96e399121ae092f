"""Pages with a known reading order: sidebars, indexes, addresses, and tables with wrapped cells."""

import pytest

from dev.ordered.kinds import draw_page
from dev.reading_order import order_error

PAGES = 5
READ_ACROSS = {"wrapped table", "table", "list", "receipt"}


@pytest.mark.parametrize("kind", ["cv", "index", "footnotes", "row above", "addresses", "narrow gutter"])
def test_columns_of_each_kind_are_read_one_after_the_other(kind: str) -> None:
    """A page that is read across its columns has an error of a tenth or more."""
    errors = [order_error(draw_page(kind, seed)) for seed in range(PAGES)]
    assert sum(error < 0.05 for error in errors) >= 0.75 * PAGES, errors


@pytest.mark.parametrize("kind", sorted(READ_ACROSS))
def test_rows_of_tables_lists_and_receipts_stay_whole(kind: str) -> None:
    errors = [order_error(draw_page(kind, seed)) for seed in range(PAGES)]
    assert sum(error == 0 for error in errors) >= PAGES - 1, errors
