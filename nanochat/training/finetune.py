"""Fine-tuning on your own scans: from a folder of pictures with transcripts to a model with fewer errors on them.

The lines of each scan are detected, read by the current model and labelled from the transcript (`transcripts.py`).
Some scans are held out. Half of every batch is lines of the scans, the other half lines of synthetic documents, so
that the model does not forget what it could read. The weights with the lowest error rate on the held-out lines are
kept, among those whose error rate on synthetic lines has grown by at most MOST_FORGOTTEN.
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
from nanochat.files import write_text
from nanochat.image_process import open_image, show
from nanochat.lines.cut import show_in_lines
from nanochat.lines.layout import find_lines
from nanochat.metrics import normalise_text
from nanochat.multimodal_dataloader import MultimodalLoader, Prepared
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.plans import FixedPlan, OrderedBatches
from nanochat.prompts import PROMPTS
from nanochat.reading.ocr import find_model
from nanochat.synth import STRIPS
from nanochat.tasks.eval_set import reading
from nanochat.tasks.synth_documents import SynthDocuments
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.config import TrainConfig
from nanochat.training.schedules import decay_to_zero
from nanochat.training.setup import Setup
from nanochat.training.trainer import Stage, Trainer
from nanochat.training.transcripts import Labelled, Scan, align, find_scans

HELD_OUT = 0.2  # share of the scans that are never trained on
MOST_FORGOTTEN = 0.003  # most that the error rate on synthetic lines may grow: 0.3 percentage points
DRAWN = 256  # synthetic lines on which that error rate is measured
OWN = "own"  # first part of the key of a line of the user's scans; for synthetic lines it is STRIPS


@dataclass
class FinetuneConfig:
    """Settings of fine-tuning on your own scans and their transcripts."""

    folder: str
    """folder of images, each with a .txt or .xml file (PAGE-XML, ALTO) of the same name beside it"""
    out: str = "my-model"
    """folder that the model is written to"""
    checkpoint: str = "nano"
    """model to start from"""
    steps: int = 120
    """number of optimizer steps"""
    batch_size: int = 32
    """lines per step, half of them synthetic"""
    lr: float = 5e-5
    """peak learning rate"""
    eval_every: int = 60
    """compare with the held-out scans every so many steps"""
    seed: int = 42
    """random seed of the held-out scans and the training order"""
    device: str = "cpu"
    """cuda, mps or cpu"""


def read_lines(engine: Engine, tokenizer: RustBPETokenizer, pictures: list) -> list[str]:
    """The text that the model reads in each line image, by greedy decoding."""
    mode = engine.model.config.vision.mode("native")
    views = [show(picture, mode) for picture in pictures]
    prompts = prompts_about(tokenizer, PROMPTS["free"], views)
    answers = engine.generate_batch(prompts, views, 200, guard=Guard(retry=True), at_once=16)
    return [tokenizer.decode(answer.tokens) for answer in answers]


def line_error_rate(engine: Engine, tokenizer: RustBPETokenizer, lines: list[Labelled]) -> float:
    """The character error rate over all lines: edit distance divided by the number of characters of the labels."""
    read = read_lines(engine, tokenizer, [line.picture for line in lines])
    pairs = [(normalise_text(text), normalise_text(line.text)) for text, line in zip(read, lines, strict=True)]
    return sum(Levenshtein.distance(*pair) for pair in pairs) / max(1, sum(len(wanted) for _, wanted in pairs))


def label_scans(
    scans: list[Scan], engine: Engine, tokenizer: RustBPETokenizer
) -> tuple[list[list[Labelled]], list[str]]:
    """(the labelled lines of each scan, a description of each scan or line that could not be labelled).

    A scan that cannot be opened has no lines and is described.
    """
    labelled: list[list[Labelled]] = []
    left_out: list[str] = []
    for scan in scans:
        try:
            picture = open_image(scan.picture)
        except UserError as error:
            labelled.append([])
            left_out.append(f"{scan.name}: {error}")
            continue
        pieces = show_in_lines(picture, find_lines(picture), engine.model.config.vision.image_size)
        found, missed = align(pieces, read_lines(engine, tokenizer, [piece.picture for piece in pieces]), scan.text)
        labelled.append(found)
        left_out += [f"{scan.name}: {reading}" for reading in missed]
        print0(f"{scan.name}: {len(found)} of {len(pieces)} pieces of lines occur in its transcript")
    return labelled, left_out


class OwnAndDrawn:
    """A task with two kinds of samples: key (OWN, i) is line i of the user's scans, (STRIPS, i) a synthetic line."""

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
    """A batch plan: half of each batch is lines of the user's scans, the other half synthetic lines.

    The former are shuffled anew each epoch; the latter never repeat. Keys are those of `OwnAndDrawn`.
    """

    n_own: int
    """number of lines of the user's scans"""
    batch_size: int
    """samples in a batch of one rank"""
    seed: int
    """seed of the order of the lines"""

    def batch(self, k: int, rank: int, world_size: int) -> list[tuple[str, int]]:
        half = max(1, self.batch_size // 2)
        first = (k * world_size + rank) * half
        places = [divmod(place, self.n_own) for place in range(first, first + half)]
        orders = {epoch: np.random.default_rng((self.seed, epoch)).permutation(self.n_own) for epoch, _ in places}
        own = [(OWN, int(orders[epoch][i])) for epoch, i in places]
        return own + [(STRIPS, 10_000_000 + first + i) for i in range(self.batch_size - half)]


def split_scans(n: int, seed: int) -> tuple[list[int], list[int]]:
    """(indices of the scans to train on, indices of the held-out scans), of `n`. Raises UserError if `n` is below 2."""
    if n < 2:
        raise UserError(
            f"fine-tuning needs at least two scans whose lines occur in their transcripts, but there is {n or 'none'}: "
            "see left_out.txt in --out"
        )
    order = np.random.default_rng(seed).permutation(n).tolist()
    held = max(1, round(HELD_OUT * n))
    return sorted(order[held:]), sorted(order[:held])


@dataclass(frozen=True)
class OwnLines:
    """The labelled lines of the user's scans."""

    train: list[Labelled]
    held_out: list[Labelled]
    """lines of the scans that are never trained on"""


def prepare_lines(config: FinetuneConfig, scans: list[Scan], engine: Engine, tokenizer: RustBPETokenizer) -> OwnLines:
    """Label the lines of the scans and hold some of the scans out.

    Lines that could not be labelled are listed in left_out.txt in `config.out`. Raises UserError if fewer than two
    scans have lines with a label.
    """
    labelled, left_out = label_scans(scans, engine, tokenizer)
    log = Path(config.out) / "left_out.txt"
    write_text(log, "".join(f"{line}\n" for line in left_out))
    usable = [lines for lines in labelled if lines]
    train, held_out = ([line for i in part for line in usable[i]] for part in split_scans(len(usable), config.seed))
    print0(f"{len(train)} lines to train on, {len(held_out)} held out, {len(left_out)} left out ({log})")
    return OwnLines(train, held_out)


def synthetic_lines() -> list[Labelled]:
    """DRAWN lines of synthetic documents, always the same, on which forgetting is measured."""
    task = SynthDocuments("val")
    items = [task[STRIPS, i] for i in range(DRAWN)]
    return [Labelled(item["images"][0], item["messages"][-1]["content"]) for item in items]


@dataclass
class Comparison:
    """Error rates of a model on held-out and on synthetic lines during a run, and which step is the best so far."""

    tokenizer: RustBPETokenizer
    held_out: list[Labelled]
    synthetic: list[Labelled]
    log: Path
    """finetune.json; if it exists, the run that wrote it is continued"""

    def __post_init__(self) -> None:
        self.history: list[dict] = json.loads(self.log.read_text()) if self.log.is_file() else []
        """one entry for each comparison: step, and the error rates `held_out` and `drawn` (0 to 1)"""

    def measure(self, step: int, model: NanoDeepseekOCR) -> bool:
        """Add the error rates after `step` to the history. Returns whether this is the best step so far."""
        best = self.best["held_out"] if self.history else 0.0
        model.eval()
        engine = Engine(model, self.tokenizer)
        sets = {"held_out": self.held_out, "drawn": self.synthetic}
        found = {name: line_error_rate(engine, self.tokenizer, lines) for name, lines in sets.items()}
        model.train()
        self.history.append({"step": step, **found})
        return self._is_allowed(self.history[-1]) and found["held_out"] < best

    @property
    def before(self) -> dict:
        """The entry of the model before training."""
        return self.history[0]

    @property
    def best(self) -> dict:
        """The entry with the lowest error rate on held-out lines, among those whose forgetting is within the limit."""
        return min(filter(self._is_allowed, self.history), key=lambda entry: entry["held_out"])

    def save(self) -> None:
        """Write the history to `log`."""
        write_text(self.log, json.dumps(self.history, indent=1))

    def _is_allowed(self, entry: dict) -> bool:
        return entry["drawn"] <= self.before["drawn"] + MOST_FORGOTTEN


def make_trainer(
    config: FinetuneConfig, model: NanoDeepseekOCR, tokenizer: RustBPETokenizer, meta: dict, lines: OwnLines
) -> Trainer:
    """The trainer of a fine-tuning run, which resumes from the newest checkpoint in `config.out` if there is one."""
    mode = model.config.vision.mode("native")

    def loader(task, plan, pack: bool) -> MultimodalLoader:
        return MultimodalLoader(Prepared(task, tokenizer, mode, 4096), plan, 0, 1, num_workers=0, pin=False, pack=pack)

    training = TrainConfig(
        model=str(meta.get("preset", "nano")), checkpoint_dir=str(Path(config.out) / "checkpoints"),
        steps=config.steps, batch_size=config.batch_size, lr=config.lr, optimizer="adamw", eval_every=0,
        save_every=config.eval_every, resume="auto", device=config.device, seed=config.seed,
    )  # fmt: skip
    plan = HalfOwn(len(lines.train), config.batch_size, config.seed)
    held_out = [reading(line.picture, line.text) for line in lines.held_out]
    return Trainer(
        training, Stage(1, decay_to_zero(20, 1.0), config.lr), Setup(model.device, tokenizer, model),
        loader(OwnAndDrawn(lines.train), plan, pack=True),
        lambda: loader(held_out, OrderedBatches(len(held_out), 16), pack=False),
    )  # fmt: skip


def finetune(config: FinetuneConfig) -> dict[str, float]:
    """Fine-tune a model and write the best version to `config.out`. If an earlier run was interrupted, it is resumed.

    Returns error rates, 0 to 1: `before` and `after` on held-out lines, `drawn before` and `drawn after` on lines of
    synthetic documents. Raises UserError if the folder has no usable scans, if a setting is out of range, if the model
    reads the held-out lines without an error, or if no step was better than the model before training.
    """
    if config.steps < 1 or config.batch_size < 2:
        raise UserError("--steps must be at least 1 and --batch-size at least 2")
    scans = find_scans(config.folder)
    out = Path(config.out)
    model, tokenizer, meta = load_model(find_model(config.checkpoint), config.device)
    lines = prepare_lines(config, scans, Engine(model, tokenizer), tokenizer)
    comparison = Comparison(tokenizer, lines.held_out, synthetic_lines(), out / "finetune.json")
    if not comparison.history:
        comparison.measure(0, model)
    if not comparison.before["held_out"]:
        n = len(lines.held_out)
        raise UserError(f"the model reads the {n} held-out lines without an error: there is nothing to train on yet, "
                        "give scans that it reads badly")  # fmt: skip
    trainer = make_trainer(config, model, tokenizer, meta, lines)

    def on_step(step: int, steps: int, figures: dict[str, float]) -> None:
        if step % config.eval_every and step != steps:
            return
        is_best = comparison.measure(step, trainer.model)
        held, drawn = (comparison.history[-1][name] for name in ("held_out", "drawn"))
        print0(f"step {step}/{steps} | character error rate: held-out scans {held:.2%}, synthetic lines {drawn:.2%}")
        if is_best:
            export_model(out, trainer.model, tokenizer, {**meta, "step": step, "finetuned": True})
        comparison.save()

    trainer.run(on_step)
    before, best = comparison.before, comparison.best
    if best["step"] == 0:
        raise UserError(
            f"no model was written: at no step was the error rate of the held-out scans below {before['held_out']:.2%} "
            f"and that of synthetic lines at most {before['drawn'] + MOST_FORGOTTEN:.2%}"
        )
    return {
        "before": before["held_out"],
        "after": best["held_out"],
        "drawn before": before["drawn"],
        "drawn after": best["drawn"],
    }
