"""The curriculum: the levels shown at each step of a long run."""

from collections import Counter

from nanochat.synth.curriculum import Curriculum, Lesson

LESSONS = tuple(Lesson(name, 1.0) for name in ("s1", "s2", "w", "B"))


def levels(plan: Curriculum, first: int, last: int) -> Counter[str]:
    return Counter(plan.batch(k, 0, 1)[0][0] for k in range(first, last))


def read_well(plan: Curriculum, first: int, batches: int) -> None:
    for k in range(first, first + batches):
        plan.observe(k, 0.5)


def test_level_is_completed_when_its_loss_is_low_enough() -> None:
    plan = Curriculum(LESSONS, 2**20)
    for k in range(1000):
        plan.observe(k, 1.5)
    assert plan.now == 0
    read_well(plan, 1000, 1000)
    assert plan.now >= 1


def test_batches_include_earlier_levels_and_the_next_one() -> None:
    plan = Curriculum(LESSONS, 2**20)
    plan.now = 2
    seen = levels(plan, 0, 2000)
    assert seen["w"] / 2000 > 0.6 and seen["s1"] > 150 and seen["s2"] > 150 and seen["B"] > 120


def test_levels_of_first_and_last_phase_are_uniform() -> None:
    first, last = ("D", "E"), ("s1", "w", "B", "C")
    plan = Curriculum(LESSONS, 2**20, dense_steps=100, dense_levels=first, last_from=1000, last_levels=last)
    plan.now = 2
    assert set(levels(plan, 0, 100)) == {"D", "E"}
    seen = levels(plan, 1000, 2000)
    assert set(seen) == set(last) and all(200 < n < 300 for n in seen.values())
    before = plan.state_dict()
    read_well(plan, 1000, 500)
    assert before == plan.state_dict()


def test_no_document_is_repeated_with_fewer_processes() -> None:
    plan = Curriculum(LESSONS, 2**20)
    four = {key for k in range(10) for rank in range(4) for key in plan.batch(k, rank, 4)}
    later = [key for k in range(10, 60) for rank in range(2) for key in plan.batch(k, rank, 2)]
    assert len(later) == len(set(later)) and not four & set(later)


def test_share_of_batches_without_images() -> None:
    plan = Curriculum(LESSONS, 2**20, dense_steps=100, dense_levels=("D",), beside=(("text", 0.2),))
    assert set(levels(plan, 0, 100)) == {"D"}
    assert 350 < levels(plan, 100, 2100)["text"] < 450
    assert len({len(plan.batch(k, 0, 1)) for k in range(100, 200) if plan.batch(k, 0, 1)[0][0] == "text"}) == 1
