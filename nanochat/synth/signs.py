"""Text with symbols as used in documents: units, tolerances, formulas, prices, footnotes, bullets."""

import random
from collections.abc import Callable
from functools import cache

SIGNS = "²³¹⁰⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉½¼¾±×÷≤≥≠≈°µ§©®™¥£€¢•…†→←"
"""The symbols that are drawn. Each is transcribed as itself, except "…", which is three full stops."""
FINE = "²³¹⁰⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉½¼¾®™†"
"""The symbols that are much smaller than letters."""
LEAST_PX_OF_FINE = 15  # px, smallest type size at which these are distinguishable

# n, m: whole numbers; k: a digit; d: a decimal; y: a year; w, W: a word, small or with a capital.
_FORMS = (
    # areas, volumes, powers
    "{n} m²", "{d} m²", "{n} m³", "{d} m³", "{n} cm²", "{n} cm³", "{n} km²", "{d} kg/m²", "{d} m/s²", "10³", "10⁶",
    "{d} × 10⁵", "10⁴", "x²", "x² + y²", "2⁸", "a² + b² = c²", "{k}⁷", "{k}⁹", "r⁰", "{k}²", "y = x³",
    # tolerances, angles, small units
    "{n} ± {k}", "±{d}", "±{n}%", "{d} ± {k} mm", "{n} °C ± {k} °C", "{n}°", "{n} °C", "-{n} °C", "{n}°C", "{n}° {m}'",
    "{n} µm", "{n} µg", "{d} µl", "{n} µF", "µ = {d}",
    # sums and comparisons
    "{n} × {m}", "{n} × {m} cm", "{n}×{m} mm", "{k} × {W}", "{n}×", "{n} ÷ {k} =", "{n} ÷ {m}", "≤ {n}", "≥ {n}",
    "≤{d}%", "{n} ≥ {m}", "p ≤ {d}", "≈ {n}", "≈{d}", "≠ {n}", "{w} ≥ {n}",
    # law, rights, money
    "§ {n}", "§{n}", "§ {n} ({k})", "§§ {n}, {m}", "© {y}", "© {y} {W}", "{W}®", "{W}™", "{W}® {W}", "¥{n}", "¥ {n}",
    "¥{n},000", "£{n}", "£{d}", "£ {d}", "€{n}", "€ {d}", "{d} €", "{n}¢",
    # fractions
    "½", "¼", "¾", "{k}½", "{k} ½", "½ {w}", "{k}¼", "¾ l", "{k}¾ kg", "½ kg", "¼ {w}", "1½ x {k}",
    # footnotes, chemical formulas, indices
    "{w}¹", "{w}²", "{w}³", "{w}⁴", "{w}⁵", "{w},¹", "¹ {W} {w}", "² {W}", "³ {W} {w}", "{w}†", "† {W}", "CO₂", "H₂O",
    "O₂", "N₂O", "H₂SO₄", "CH₄", "NO₃", "Fe₂O₃", "C₆H₁₂O₆", "x₁", "x₂, x₃", "V₀", "C₇H₈", "B₁₂", "P₅", "C₉H₂₀",
    # bullets, ellipses, arrows
    "• {W}", "• {w} {w}", "{W} • {W}", "{W} • {n}", "{w}…", "…{w}", "{w} … {w}", "… {n}", "→ {n}", "{w} → {w}",
    "{n} → {m}", "← {w}",
)  # fmt: skip


@cache
def _usable(symbols: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(symbol, forms with it) for each of `symbols` that has a form which needs no other symbols."""
    forms = [form for form in _FORMS if set(form) & set(SIGNS) <= set(symbols)]
    having = [(sign, tuple(form for form in forms if sign in form)) for sign in SIGNS]
    return tuple((sign, some) for sign, some in having if some)


def text_with_symbols(symbols: str, rng: random.Random, word: Callable[[], str]) -> str:
    """A short text with at least one of `symbols` and no others; each is equally likely.

    Empty if no form can be written with `symbols`.
    """
    usable = _usable(symbols)
    if not usable:
        return ""
    form = rng.choice(rng.choice(usable)[1])
    while "{w}" in form or "{W}" in form:
        found = word()
        form = form.replace("{W}", found[:1].upper() + found[1:], 1) if "{W}" in form else form.replace("{w}", found, 1)
    return form.format(
        n=rng.randrange(10 ** rng.randint(1, 3)), m=rng.randrange(1, 100), k=rng.randint(1, 9),
        d=f"{rng.randrange(100)}{rng.choice('..,')}{rng.randrange(10 ** rng.randint(1, 2))}", y=rng.randint(1980, 2030),
    )  # fmt: skip
