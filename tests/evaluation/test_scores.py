"""Scores of many images, compared with sums and shares worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat.evaluation.scores import Estimate, by_tier, estimate_mean, score_page, summarise_pages, worst_and_median


def page(name: str, expected: str, read: str, tier: str = "line", **more):
    return score_page(name, tier, expected, read, **more)


def test_scores_of_a_page_by_hand():
    score = page("a", "TOTAL  9.00\nCash", "TOTAL 9.0 Cash", seconds=0.5)
    assert (score.errors, score.characters) == (1, 15)  # the line end and the two spaces are one space each
    assert (score.word_errors, score.words) == (1, 3)
    assert score.similarity == pytest.approx(14 / 15)
    assert (score.precision, score.recall, score.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert not score.exact and not score.looping
    assert score.expected == "TOTAL  9.00\nCash"  # the original text is kept


def test_order_errors_and_values():
    pages = [
        page("a", "TOTAL 9.00\nCash 10.00", "Cash 10.00\nTOTAL 9.00"),
        page("b", "12.03.2025 No X1234", "12.08.2025 No X1234"),
    ]
    values = {name: figure and figure.value for name, figure in summarise_pages(pages).items()}
    errors, by_order = pages[0].errors + 1, pages[0].errors
    assert by_order > 10 and pages[1].order_errors == 0
    assert values["cer"] == pytest.approx(errors / 40) and values["order"] == pytest.approx(by_order / 40)
    assert (values["amounts"], values["dates"], values["codes"]) == (1, 0, 1)
    assert values["values"] == pytest.approx(3 / 4)
    assert summarise_pages([page("a", "no figures", "no")])["values"] is None


def test_case_counts_unless_folded():
    assert page("a", "TOTAL", "Total").errors == 4
    assert page("a", "TOTAL", "Total", fold_case=True).exact


def test_rates_are_over_all_characters_and_means_over_pages():
    found = summarise_pages([page("a", "x" * 90, "x" * 90, seconds=1.0), page("b", "y" * 10, "", seconds=3.0)])
    values = {name: figure.value for name, figure in found.items() if figure}
    assert values["cer"] == pytest.approx(10 / 100)
    assert values["wer"] == pytest.approx(1 / 2)
    assert values["similarity"] == values["f1"] == values["exact"] == 0.5
    assert values["printed"] == 45 and values["seconds"] == 2


def test_images_without_text_have_only_a_count_of_printed_characters():
    found = summarise_pages([page("a", "", "invented"), page("b", "", "")])
    assert found["cer"] is None and found["wer"] is None
    assert found["printed"] and found["printed"].value == 4
    assert found["exact"] and found["exact"].value == 0.5


def test_loops_are_detected_or_reported():
    assert page("a", "TOTAL 9.00", "TOTAL " + "9.00 " * 9).looping
    assert page("a", "TOTAL 9.00", "TOTAL 9.00", looped=True).looping
    assert not page("a", "TOTAL 9.00", "TOTAL 9.00").looping


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=40))
def test_interval_contains_its_figure_and_stays_within_the_pages(pairs):
    counts, totals = zip(*pairs)
    found = estimate_mean(counts, totals)
    assert found is not None
    rates = [c / t for c, t in pairs]
    assert min(rates) - 1e-9 <= found.low <= found.high <= max(rates) + 1e-9
    assert found.value == pytest.approx(sum(counts) / sum(totals))
    assert found == estimate_mean(counts, totals)  # the same every time


def test_interval_agrees_with_the_normal_approximation():
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = estimate_mean(values.tolist())
    assert found is not None
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)


def test_interval_of_one_page_is_a_point():
    assert estimate_mean([3.0]) == Estimate(3.0, 3.0, 3.0)


def test_tiers_keep_their_order_and_all_is_last():
    pages = [page("a", "x", "x", "note"), page("b", "x", "x", "line"), page("c", "x", "x", "note")]
    assert {tier: [p.id for p in found] for tier, found in by_tier(pages).items()} == {
        "note": ["a", "c"],
        "line": ["b"],
        "all": ["a", "c", "b"],
    }
    assert list(by_tier(pages[:1])) == ["note"]


def test_worst_and_median_pages():
    pages = [page(str(i), "x" * 100, "x" * (100 - i)) for i in range(21)]
    worst, median = worst_and_median(pages, 3)
    assert [p.id for p in worst] == ["20", "19", "18"]
    assert [p.id for p in median] == ["11", "10", "9"]
    for n in range(1, 7):
        worst, median = worst_and_median(pages[:n], 4)
        assert sorted(p.id for p in worst + median) == sorted({p.id for p in worst + median})
        assert len(worst) == min(4, n)
