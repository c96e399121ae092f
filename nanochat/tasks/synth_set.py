"""Drawn documents to be measured on: the same ones on every machine that has the same fonts."""

from PIL import Image

from nanochat.errors import UserError
from nanochat.synth import LEVELS, SPLITS, TIERS, draw_document
from nanochat.synth.languages import CENTRAL_LANGUAGES
from nanochat.tasks.eval_set import EvalSet, reading

MEASURED = tuple(split for split in SPLITS if split != "train")


class SynthSet(EvalSet):
    """`n` documents of each tier: `line` (its widths in turn), `note` and `page`.

    `split`: `val`, trained fonts and words in texts and layouts never shown; `unseen`, held-out fonts and words;
    `hard`, the heaviest degradations; `latin`, the other languages of western Europe, the rest as in `val`. Of
    `central` the tiers are the languages of central Europe, `n` lines and notes each. Raises UserError for another
    split.
    """

    def __init__(self, split: str, n: int) -> None:
        super().__init__()
        if split not in MEASURED:
            raise UserError(f"no set synth-{split}: there are {', '.join(f'synth-{name}' for name in MEASURED)}")
        self.split, self.accents = split, split in ("latin", "central")
        self.keys = [(levels[i % len(levels)], i) for levels in TIERS.values() for i in range(n)]
        self.ids = [f"{level}-{i}" for level, i in self.keys]
        self.tiers = [tier for tier in TIERS for _ in range(n)]
        if split == "central":
            levels, count = (*TIERS["line"], *TIERS["note"]), len(CENTRAL_LANGUAGES)
            self.keys = [(levels[i % len(levels)], i * count + k) for k in range(count) for i in range(n)]
            self.ids = [f"{level}-{i}" for level, i in self.keys]
            self.tiers = [name for name in CENTRAL_LANGUAGES for _ in range(n)]

    def get_example(self, index: int) -> dict:
        level, i = self.keys[index]
        document = draw_document(LEVELS[level], i, self.split)
        return reading(Image.fromarray(document.image), document.text)
