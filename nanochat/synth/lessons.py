"""The training curriculum of nano: levels in order, each with the loss at which it is completed.

The thresholds (nats per character) and the shares are those of the shipped weights. dev/LOG.md describes the runs.
"""

from typing import Literal

from nanochat.synth.curriculum import Curriculum, Lesson, LevelSet
from nanochat.synth.levels import BLOCKS, STRIPS, TEXT

# From easy to hard: lines drawn alone, then lines cut out of pages. The number is the loss that completes a level.
LESSONS = (
    Lesson("s1", 1.0), Lesson("s2", 1.2), Lesson("w", 1.0), Lesson("line128", 0.8), Lesson("B", 0.8),
    Lesson("line256", 0.6), Lesson("line384", 0.5), Lesson("line512", 0.4), Lesson(STRIPS, 0.0),
)  # fmt: skip
# Levels of the phase with dense labels only, in which the encoder is trained alone; it needs no order.
DENSE_LEVELS = ("D", "D", "line256", "E", "note")
# Levels while the learning rate decays: all of them, because the easy ones are forgotten otherwise, but more than half
# of the batches are what will be read, lines cut out of pages.
LAST_LEVELS = (
    *(STRIPS,) * 24,
    *("s1", "s2", "w", "B", "C", "D", "line128", "line192", "line256", "line256", "line320", "line384", "line384"),
    *("line448", "line512", "line512", "rough192", "rough320", "rough448"),
)
VAL_LEVELS = ("s1", "B", "D", "line256", STRIPS)

# Whole pages, starting from weights that read lines: more rows step by step, then small type and every layout.
PAGE_LESSONS = (
    Lesson("rows2", 0.6), Lesson("rows3", 0.6), Lesson("rows4", 0.65), Lesson("rows6", 1.0), Lesson("rows8", 1.3),
    Lesson("wide8", 1.3), Lesson("block", 1.3), Lesson("rows12", 1.4), Lesson("rows16", 1.5),
    Lesson("rows24", 1.7), Lesson("note", 1.7), Lesson("leaf", 1.7), Lesson("page", 0.0),
)  # fmt: skip
PAGE_LAST_LEVELS = (
    *("rows3", "rows6", "C", "D", "E", "Ew", "rows8", "wide8", "block", "block", "block", "rows12", "rows12"),
    *("rows16", "rows16", "rows24", "note", "note", "leaf", "leaf", "leaf"),
    *("page",) * 7,
    *(BLOCKS,) * 4,
)
LINES_BESIDE_PAGES = 0.1  # share of the batches with single lines, which are forgotten otherwise
PAGE_VAL_LEVELS = ("rows4", "rows8", "block", "page", STRIPS)

CourseName = Literal["lines", "pages"]
"""from scratch to single lines, or from weights that read lines to whole pages"""
COURSES: dict[CourseName, tuple[tuple[Lesson, ...], tuple[str, ...], tuple[str, ...]]] = {
    "lines": (LESSONS, LAST_LEVELS, VAL_LEVELS),
    "pages": (PAGE_LESSONS, PAGE_LAST_LEVELS, PAGE_VAL_LEVELS),
}


def lessons(
    batch_size: int, steps: int, decay: float, dense_steps: int = 0, text_share: float = 0.0, seed: int = 42,
    course: CourseName = "lines",
) -> Curriculum:  # fmt: skip
    """The batch plan of a run of `steps` steps, whose learning rate decays to zero over the last `decay` share of them.

    batch_size: number of images of 128 x 128; for other sizes, as many as have the same area. text_share: share of
    batches without images.
    """
    levels, last_levels, _ = COURSES[course]
    beside: tuple[tuple[str, float], ...] = ((TEXT, text_share),)
    if course == "pages":
        beside += ((STRIPS, LINES_BESIDE_PAGES),)
    return Curriculum(
        levels, batch_size * 128 * 128, dense_steps=dense_steps, dense_levels=DENSE_LEVELS, last_levels=last_levels,
        last_from=round(steps * (1 - decay)), beside=beside, seed=seed,
    )  # fmt: skip


def validation(course: CourseName = "lines") -> LevelSet:
    """Sixteen documents of each of five levels, the same at every validation."""
    return LevelSet(COURSES[course][2], per_level=16, batch_size=16)
