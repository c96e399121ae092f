"""Synthetic documents for evaluation: the same on every machine that has the same fonts."""

from PIL import Image

from nanochat.errors import UserError
from nanochat.synth import LEVELS, ONE_VIEW_TIERS, SPLITS, TIERS, draw_document
from nanochat.synth.languages import CENTRAL_LANGUAGES
from nanochat.tasks.eval_set import EvalSet, reading

MEASURED = tuple(split for split in SPLITS if split != "train")


class SynthSet(EvalSet):
    """`n` documents of each tier: `line` (of several widths), `note`, `page`; or with `one_view`: `block`, `page`.

    `split`: `val` has the fonts and words of training in texts and layouts that training never shows; `unseen` has
    held-out fonts and words; `hard` has the strongest degradation; `latin` has the other languages of western Europe,
    and is otherwise like `val`; `central` has the languages of central Europe as its tiers, with `n` lines and `n`
    notes each. Raises UserError for another split.
    """

    def __init__(self, split: str, n: int, one_view: bool = False) -> None:
        super().__init__()
        if split not in MEASURED:
            kind = "view" if one_view else "synth"
            raise UserError(f"no set {kind}-{split}: there are {', '.join(f'{kind}-{name}' for name in MEASURED)}")
        self.split, self.accents = split, split in ("latin", "central")
        tiers = ONE_VIEW_TIERS if one_view else TIERS
        self.keys = [(levels[i % len(levels)], i) for levels in tiers.values() for i in range(n)]
        self.ids = [f"{level}-{i}" for level, i in self.keys]
        self.tiers = [tier for tier in tiers for _ in range(n)]
        if split == "central":
            levels, count = (*TIERS["line"], *TIERS["note"]), len(CENTRAL_LANGUAGES)
            self.keys = [(levels[i % len(levels)], i * count + k) for k in range(count) for i in range(n)]
            self.ids = [f"{level}-{i}" for level, i in self.keys]
            self.tiers = [name for name in CENTRAL_LANGUAGES for _ in range(n)]

    def get_example(self, index: int) -> dict:
        level, i = self.keys[index]
        document = draw_document(LEVELS[level], i, self.split)
        return reading(Image.fromarray(document.image), document.text)
