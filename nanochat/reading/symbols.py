"""Signs that the model is unsure of: symbols that it does not know are read as similar ones.

Letters of another alphabet make a whole page unsure, and it is marked as not readable. A few symbols among good text do
not, so they are counted.
"""

from collections.abc import Iterable, Sequence

UNSURE = 0.7  # probability below which a sign is doubtful
COMMON = ".,:;'\"-_’"  # often unsure in bad print, without being another symbol
FEWEST, SHARE = 5, 0.02  # doubtful signs of a page that is noted: least number, and least share of its characters


def doubtful_signs(tokens: Sequence[str], probabilities: Sequence[float]) -> int:
    """The number of unsure signs in a line, given as the text of each token.

    A sign is a character that is neither a letter nor a digit, or one that stands alone.
    """
    found = 0
    for i, (token, probability) in enumerate(zip(tokens, probabilities)):
        character = token.strip()
        if probability >= UNSURE or len(character) != 1 or character in COMMON:
            continue
        before = token[:1].isspace() or i == 0 or tokens[i - 1][-1:].isspace()
        after = token[-1:].isspace() or i + 1 >= len(tokens) or tokens[i + 1][:1].isspace()
        found += not character.isalnum() or (before and after)
    return found


def symbols_note(doubtful: int, texts: Iterable[str]) -> str:
    """A note about a page with so many doubtful signs; empty if they are few."""
    characters = sum(not c.isspace() for text in texts for c in text)
    if doubtful < FEWEST or doubtful < SHARE * characters:
        return ""
    return f"{doubtful} signs are uncertain: symbols that the model does not know are read as similar ones"
