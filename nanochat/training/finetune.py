"""Fine-tuning on one's own scans: from a folder of pictures with transcripts to a model that reads them better.

The lines of each scan are found and read by the present model and labelled by the transcript (`transcripts.py`). Some
scans are held out. Every batch is half own lines, half lines of drawn documents, so that nothing else is forgotten. The
weights that read the held-out lines best are kept, among those that read drawn lines no worse than before by more than
MOST_FORGOTTEN.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Levenshtein

from nanochat.checkpoint import export_model, load_model
from nanochat.common import print0
from nanochat.engine import Engine, Guard, prompts_about
from nanochat.errors import UserError
from nanochat.evaluation.metrics import normalise_text
from nanochat.files import atomic_path
from nanochat.image_process import native_view, open_image
from nanochat.lines.cut import show_in_lines
from nanochat.lines.layout import find_lines
from nanochat.multimodal_dataloader import MultimodalLoader, Prepared
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.plans import FixedPlan, OrderedBatches
from nanochat.prompts import PROMPTS
from nanochat.reading.ocr import find_model
from nanochat.synth import STRIPS
from nanochat.tasks.eval_set import reading
from nanochat.tasks.synth_documents import SynthDocuments
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.trainer import Stage, TrainConfig, Trainer, decay_to_zero
from nanochat.training.transcripts import Labelled, Scan, align, find_scans

HELD_OUT = 0.2  # share of the scans that are never trained on
MOST_FORGOTTEN = 0.003  # by which the error rate on drawn lines may grow: 0.3 points
DRAWN = 64  # drawn lines that are read to see what is forgotten
OWN = "own"  # the first half of a key: a line of one's own, where drawn ones say STRIPS


@dataclass
class FinetuneConfig:
    """Teach a model to read one's own scans, from pictures with transcripts beside them."""

    folder: str
    """folder of pictures, each with a .txt or .xml (PAGE-XML, ALTO) of the same name beside it"""
    out: str = "my-model"
    """folder that the model is written to"""
    checkpoint: str = "nano"
    """the model to start from"""
    steps: int = 300
    """optimizer steps"""
    batch_size: int = 32
    """lines a step, half of them drawn"""
    lr: float = 2e-4
    """peak learning rate"""
    eval_every: int = 50
    """compare with the held-out scans every so many steps"""
    seed: int = 42
    """of the scans that are held out and of the order of training"""
    device: str = "cpu"
    """cuda, mps or cpu"""


def read_lines(engine: Engine, tokenizer: RustBPETokenizer, pictures: list, side: int) -> list[str]:
    """What the model reads on each picture of a line, greedily."""
    views = [native_view(picture, side) for picture in pictures]
    prompts = prompts_about(tokenizer, PROMPTS["free"], views)
    answers = engine.generate_batch(prompts, views, 200, guard=Guard(retry=True), at_once=16)
    return [tokenizer.decode(answer.tokens) for answer in answers]


def error_rate(engine: Engine, tokenizer: RustBPETokenizer, lines: list[Labelled], side: int) -> float:
    """Characters wrong over all characters of the lines."""
    read = read_lines(engine, tokenizer, [line.picture for line in lines], side)
    pairs = [(normalise_text(text), normalise_text(line.text)) for text, line in zip(read, lines, strict=True)]
    return sum(Levenshtein.distance(*pair) for pair in pairs) / max(1, sum(len(wanted) for _, wanted in pairs))


def label_scans(
    scans: list[Scan], engine: Engine, tokenizer: RustBPETokenizer, side: int
) -> tuple[list[list[Labelled]], list[str]]:
    """The labelled lines of each scan, and what was left out of them, one line each."""
    labelled: list[list[Labelled]] = []
    left_out: list[str] = []
    for scan in scans:
        try:
            picture = open_image(scan.picture)
        except UserError as error:
            labelled.append([])
            left_out.append(f"{scan.name}: {error}")
            continue
        pieces = show_in_lines(picture, find_lines(picture), side)
        found, missed = align(
            pieces, read_lines(engine, tokenizer, [piece.picture for piece in pieces], side), scan.text
        )
        labelled.append(found)
        left_out += [f"{scan.name}: {reading}" for reading in missed]
        print0(f"{scan.name}: {len(found)} of {len(pieces)} pieces of lines occur in its transcript")
    return labelled, left_out


class OwnAndDrawn:
    """A task of two parts: keys (OWN, i) are one's own lines, (STRIPS, i) drawn ones."""

    def __init__(self, own: list[Labelled]) -> None:
        self.own, self.drawn = own, SynthDocuments("train")
        self.prompts = {PROMPTS["free"]}

    def __len__(self) -> int:
        return len(self.drawn)

    def __getitem__(self, key: tuple[str, int]) -> dict:
        part, i = key
        return reading(self.own[i].picture, self.own[i].text) if part == OWN else self.drawn[STRIPS, i]


@dataclass
class HalfOwn(FixedPlan):
    """Batches half of which are one's own lines, in an order of their own each epoch, half drawn ones, never twice."""

    n_own: int
    batch_size: int
    seed: int

    def batch(self, k: int, rank: int, world_size: int) -> list[tuple[str, int]]:
        half = max(1, self.batch_size // 2)
        first = (k * world_size + rank) * half
        places = [divmod(place, self.n_own) for place in range(first, first + half)]
        orders = {epoch: np.random.default_rng((self.seed, epoch)).permutation(self.n_own) for epoch, _ in places}
        own = [(OWN, int(orders[epoch][i])) for epoch, i in places]
        return own + [(STRIPS, 10_000_000 + first + i) for i in range(self.batch_size - half)]


def divide(n: int, seed: int) -> tuple[list[int], list[int]]:
    """Which of `n` scans train and which are held out. Raises UserError where there are fewer than two."""
    if n < 2:
        raise UserError(
            f"fine-tuning needs at least two scans whose lines occur in their transcripts, but there is {n or 'none'}: "
            "see left_out.txt in --out"
        )
    order = np.random.default_rng(seed).permutation(n).tolist()
    held = max(1, round(HELD_OUT * n))
    return sorted(order[held:]), sorted(order[:held])


def finetune(config: FinetuneConfig) -> dict[str, float]:
    """Fine-tune and write the best model to `config.out`; the error rates before and after, by name.

    A run that was killed goes on where it was when it is started again. Raises UserError for a folder without usable
    scans, or settings without meaning.
    """
    if config.steps < 1 or config.batch_size < 2:
        raise UserError("--steps must be at least 1 and --batch-size at least 2")
    scans = find_scans(config.folder)
    out = Path(config.out)
    model, tokenizer, meta = load_model(find_model(config.checkpoint), config.device)
    side = model.config.vision.image_size
    engine = Engine(model, tokenizer)
    labelled, left_out = label_scans(scans, engine, tokenizer, side)
    with atomic_path(out / "left_out.txt") as temporary:
        temporary.write_text("".join(f"{line}\n" for line in left_out), encoding="utf-8")
    usable = [lines for lines in labelled if lines]
    train_on, held_out = divide(len(usable), config.seed)
    own = [line for i in train_on for line in usable[i]]
    compared = [line for i in held_out for line in usable[i]]
    print0(f"{len(own)} lines to train on, {len(compared)} held out, {len(left_out)} left out ({out}/left_out.txt)")
    drawn_task = SynthDocuments("val")
    drawn = [
        Labelled(item["images"][0], item["messages"][-1]["content"])
        for item in (drawn_task[STRIPS, i] for i in range(DRAWN))
    ]

    def measure(model: NanoDeepseekOCR) -> tuple[float, float]:
        model.eval()
        engine = Engine(model, tokenizer)
        found = error_rate(engine, tokenizer, compared, side), error_rate(engine, tokenizer, drawn, side)
        model.train()
        return found

    log = out / "finetune.json"
    history = json.loads(log.read_text()) if log.is_file() else []
    if not history:
        history = [{"step": 0, **dict(zip(("held_out", "drawn"), measure(model)))}]
    before = history[0]

    def view(image):
        return native_view(image, side)

    def loader(task, plan) -> MultimodalLoader:
        return MultimodalLoader(Prepared(task, tokenizer, view, 4096), plan, 0, 1, num_workers=0, pin=False, pack=True)

    training = TrainConfig(
        model=str(meta.get("preset", "nano")), checkpoint_dir=str(out / "checkpoints"), steps=config.steps,
        batch_size=config.batch_size, lr=config.lr, optimizer="muon", eval_every=0, save_every=config.eval_every,
        resume="auto", device=config.device, seed=config.seed,
    )  # fmt: skip
    stage = Stage(1, decay_to_zero(20, 1.0), config.lr)
    lent = [reading(line.picture, line.text) for line in compared]
    trainer = Trainer(
        training, stage, model, tokenizer, loader(OwnAndDrawn(own), HalfOwn(len(own), config.batch_size, config.seed)),
        lambda: loader(lent, OrderedBatches(len(lent), 16)), model.device,
    )  # fmt: skip

    def on_step(step: int, steps: int, figures: dict[str, float]) -> None:
        if step % config.eval_every and step != steps:
            return
        held, drawn_error = measure(trainer.model)
        best = min((h["held_out"] for h in history if _allowed(h, before)), default=1.0)
        history.append({"step": step, "held_out": held, "drawn": drawn_error})
        print0(
            f"step {step}/{steps} | character error rate: held-out scans {held:.2%}, synthetic lines {drawn_error:.2%}"
        )
        if _allowed(history[-1], before) and held < best:
            export_model(out, trainer.model, tokenizer, {**meta, "step": step, "finetuned": True})
        with atomic_path(log) as temporary:
            temporary.write_text(json.dumps(history, indent=1))

    trainer.run(on_step)
    allowed = [h for h in history if _allowed(h, before)]
    best = min(allowed, key=lambda h: h["held_out"])
    if best["step"] == 0:
        raise UserError(
            f"the error rate of the held-out scans never fell below {before['held_out']:.2%}: no model was written"
        )
    return {
        "before": before["held_out"],
        "after": best["held_out"],
        "drawn before": before["drawn"],
        "drawn after": best["drawn"],
    }


def _allowed(found: dict, before: dict) -> bool:
    return found["drawn"] <= before["drawn"] + MOST_FORGOTTEN
