"""Pages that are probably not readable are marked."""

from nanochat.reading.job import why_it_ended
from nanochat.reading.page import Page, TextLine


def page_of(*lines: tuple[str, float], unclear: int = 0) -> Page:
    probability = sum(sure for _, sure in lines) / max(1, len(lines))
    return Page(
        text="\n".join(text for text, _ in lines), vision_tokens=1, most_vision_tokens=1, tokens=9, seconds=0.1,
        stopped="end", mean_probability=probability, unclear=unclear,
        lines=[TextLine(text, (0, 0, 9, 9), sure, sure) for text, sure in lines],
    )  # fmt: skip


def test_invented_text_is_marked_in_json_and_note() -> None:
    page = page_of(("Oxnate no goroopy", 0.86), ("Cymma ua", 0.84))
    assert page.to_dict()["readable"] is False
    assert [line["readable"] for line in page.to_dict()["lines"]] == [False, False]
    assert "probably not readable" in why_it_ended(page)


def test_readable_page_has_no_note() -> None:
    page = page_of(("Total amount", 0.99), ("12.50", 0.97))
    assert page.readable
    assert why_it_ended(page) == ""


def test_single_unsure_line_is_marked_without_its_page() -> None:
    page = page_of(("A long line of text that is read well", 0.99), ("signature", 0.7))
    assert page.readable
    assert [line.readable for line in page.lines] == [True, False]


def test_page_with_most_text_omitted_is_not_readable() -> None:
    assert not page_of(("Total", 0.97), unclear=5).readable


def test_blank_page_is_not_marked() -> None:
    assert page_of().readable


def test_page_has_a_stricter_limit_than_a_line() -> None:
    """Pages in other alphabets are read with up to 0.94; some well-read single lines have no more."""
    russian = ("Iposepka kauectBa TeKcTa Ha cTpaHuue", 0.93)
    assert not page_of(russian, russian, russian).readable
    assert page_of(("Tel: 03-7710 2288", 0.93)).readable


def test_capitals_inside_words_count_against_an_unsure_page() -> None:
    """Cyrillic small letters look like Latin capitals; codes mix letters and digits, but have a high probability."""
    cyrillic = "HacToRWuM coo6waeM yTo onJaTa cyeTa gOJxHa 6biTb nponsBeAeHa go KoHua MecRya"
    code = "sha1 a94a8fe5cc getValue setValue x2y4 readLine2"
    print_ = "We kindly ask you to pay the bill for March by the end of the month and to confirm"
    assert not page_of((cyrillic, 0.955), (cyrillic, 0.955)).readable
    assert page_of((print_, 0.955), (print_, 0.955)).readable
    assert page_of((code, 0.98), (code, 0.98)).readable


def test_a_badly_printed_page_of_english_words_is_readable() -> None:
    """A faded receipt is read with many mistakes, yet half of its words are words; those of other alphabets are not."""
    faded = (
        "GOOOS SOLD ARE NOT RETURNABLE, THANK YOU FOR YOUR KJND VlSIT",
        "TOTAL ANOUNT PAYABLE ROUNDING CASH CHANCE",
    )
    greek = ("BEPNIKONQ ZATIATA TAPAXOTOIO FION ZANAKOYTOZOYN", "YTIOZKAMMENOYZ NOMOGETHZ KAI THN APIZTEPA NAYZ")
    assert page_of(*((line, 0.92) for line in faded)).readable
    assert not page_of(*((line, 0.92) for line in greek)).readable
    assert not page_of(*((line, 0.88) for line in faded)).readable


def test_a_language_with_many_accents_is_judged_like_a_line() -> None:
    czech = (
        "Chyba: soubor je \u010diteln\u00fd i pro ostatn\u00ed, p\u0159id\u00e1n\u00ed p\u0159epnut\u00e9ho m\u00e9dia"
    )
    greek = "AFAPHTO1 ENOIKOI, THN TETAPTH A\u00d8O TIZ ENNEA EQZ TIZ TENTE AEN GA"
    digits = "8800 5172 8808 1172 0918 8283"
    assert page_of((czech, 0.92), (czech, 0.92)).readable
    assert not page_of((czech, 0.88), (czech, 0.88)).readable
    for other in (greek, digits):
        assert not page_of(*[(other, 0.92)] * 4).readable
