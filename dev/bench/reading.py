"""Measurements of reading: the cost of each mode, the speed of whole inputs and what limits it, the accuracy of the ink
audit and of line positions, the cost of loop detection, and memory over a long document."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import torch
from PIL import Image, ImageDraw

from dev.bench.rates import best_seconds
from dev.usage import processor_seconds
from nanochat.engine import Generation, Guard, Sampling, prompts_about
from nanochat.engine.loops import PAGE_ROWS, LoopGuard, LoopWatch
from nanochat.errors import UserError
from nanochat.image_process import open_image, show
from nanochat.lines.boxes import Box
from nanochat.lines.layout import find_lines
from nanochat.machine import choose_precision
from nanochat.modes import MODES
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, preset
from nanochat.precision import Precision
from nanochat.reading.ahead import read_ahead
from nanochat.reading.ink_audit import audit
from nanochat.reading.job import Job, read_input
from nanochat.reading.ledger import Ledger
from nanochat.reading.ocr import OCR, PROMPT
from nanochat.reading.page import Page
from nanochat.reading.sources import Selection, Source, find_sources
from nanochat.synth import LEVELS, draw_document
from nanochat.tasks.empty_pictures import EmptyPictures
from nanochat.tasks.eval_set import EvalSet
from nanochat.training.flops import clip_forward_flops, sam_forward_flops

PAGE = (1240, 1754)  # A4 at 150 dots per inch: width, height
FIRST_PAGE = Selection("1")
SQUARE = 2048  # side of the matrix product whose rate counts as the peak of the machine


@dataclass
class ModeCost:
    """The cost of one page of PAGE pixels in one mode."""

    mode: str
    views: str
    """views in pixels, width first"""
    tokens: int
    flops: float
    seconds: float
    """seconds on a GPU; on a CPU, processor time divided by the number of threads"""
    share: float
    """operations per second, relative to a large square matrix product"""


def working_seconds(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call; on a CPU, processor time divided by threads, which excludes other programs."""
    if device.type == "cuda":
        return best_seconds(run, device, 1.0)
    started = time.process_time()
    run()
    return (time.process_time() - started) / torch.get_num_threads()


def square_rate(precision: Precision, device: torch.device) -> float:
    """FLOP/s of large square matrix products, the best of ten."""
    a, b = (torch.randn(SQUARE, SQUARE, device=device, dtype=precision.dtype()) for _ in range(2))
    return max(2.0 * SQUARE**3 / working_seconds(lambda: a @ b, device) for _ in range(10))


@torch.inference_mode()
def measure_modes(size: str, device: torch.device, modes: Sequence[str] = MODES) -> list[ModeCost]:
    """Encode one A4 page in each mode with random weights."""
    config = preset(size)
    vision = config.vision
    model = NanoDeepseekOCR(config).requires_grad_(False).eval().to(device)
    precision = choose_precision("auto" if device.type == "cuda" else "float32", device)
    peak = square_rate(precision, device)
    page = Image.effect_noise(PAGE, 60).convert("RGB")
    found: list[ModeCost] = []
    for name in modes:
        views = show(page, vision.mode(name)).to(device)
        n_tiles, side = 0 if views.tiles is None else len(views.tiles), views.layout.tile_size
        sizes = [views.layout.view, *[(side, side)] * n_tiles]
        flops = sum(
            sam_forward_flops(vision, h, w) + clip_forward_flops(vision, h, w, config.gpt.n_embd) for h, w in sizes
        )

        def encode(views=views) -> None:
            with precision.autocast(device):
                model.encode_images([views])

        if not found:
            encode()  # warm-up
        seconds = working_seconds(encode, device)
        tiles = f"{n_tiles} of {side} x {side}, " if n_tiles else ""
        shape = f"{tiles}{views.layout.view[1]} x {views.layout.view[0]}"
        found.append(ModeCost(name, shape, views.layout.n_tokens, flops, seconds, flops / seconds / peak))
    return found


@dataclass
class Speed:
    """The speed of reading an input; times per page are processor seconds, which exclude other programs."""

    workers: int
    pages: int
    pages_per_minute: float
    """by wall clock"""
    opening: float
    """opening pages"""
    finding: float
    """finding lines"""
    model: float
    """cutting lines, encoding views, generating text"""
    rest: float
    """passing pages between processes, writing files"""
    working: float
    """in total"""


def _pages_only(sources: Sequence[Source], workers: int) -> list[Image.Image]:
    pages = read_ahead(sources, FIRST_PAGE, workers=workers)
    return [page.image for page in pages if page.image is not None]


class _TimedReader:
    """Reads like `reader`, and sums up its processor seconds."""

    def __init__(self, reader: OCR) -> None:
        self.reader, self.seconds = reader, 0.0

    def read_many(self, *arguments: Any) -> list[Page]:
        started = time.process_time()
        pages = list(self.reader.read_many(*arguments))
        self.seconds += time.process_time() - started
        return pages


def measure_speed(reader: OCR, files: Sequence[str], n: int, workers: int, folder: Path) -> Speed:
    """Read the first page of the first `n` of these files, as `nano-ocr read --format json --out` does."""
    sources = find_sources(files)[:n]
    started = processor_seconds()
    pages = _pages_only(sources, workers)
    opening, started = processor_seconds() - started, time.process_time()
    for page in pages:
        find_lines(page)
    finding = time.process_time() - started
    if not pages:
        raise UserError("no page in these files")
    list(reader.read_many(pages[:1]))  # warm-up
    ledger = Ledger(folder / f"{workers}-workers" / "ledger.jsonl", {})
    job = Job(sources, PROMPT, FIRST_PAGE, workers=workers, format="json", out=ledger.path.parent)
    timed = _TimedReader(reader)
    clock, started = time.perf_counter(), processor_seconds()
    totals = read_input(lambda: cast(OCR, timed), job, ledger)
    clock, worked = time.perf_counter() - clock, processor_seconds() - started
    ledger.close()
    k = max(1, totals.pages)
    opening, finding, reading, worked = opening / len(pages), finding / len(pages), timed.seconds / k, worked / k
    rest = max(0.0, worked - opening - reading)
    return Speed(workers, k, 60 * k / clock, opening, finding, reading - finding, rest, worked)


@dataclass
class GuardCost:
    """The cost of loop detection while answers are generated."""

    rows: int
    """number of answers generated together"""
    tokens: int
    """number of tokens of all answers"""
    decoding: float
    """processor seconds without loop detection, images and prompts excluded: the shortest round"""
    guarded: float
    """the same with loop detection"""
    inside: float
    """processor seconds of loop detection alone, in the shortest round, including the clock"""


class _TimedWatch(LoopWatch):
    """A loop detector that counts its seconds."""

    seconds = 0.0

    def add(self, token: int) -> None:
        started = time.thread_time()
        super().add(token)
        _TimedWatch.seconds += time.thread_time() - started

    def loop(self, at_limit: bool = False) -> int | None:
        started = time.thread_time()
        found = super().loop(at_limit)
        _TimedWatch.seconds += time.thread_time() - started
        return found


class _TimedGuard(LoopGuard):
    def watch(self, rows: int | None = None) -> LoopWatch:
        return _TimedWatch(self, PAGE_ROWS if rows is None else rows)


def measure_guard(reader: OCR, rows: int, rounds: int) -> GuardCost:
    """Read `rows` synthetic documents together, with and without loop detection in turn, `rounds` times."""
    views = [reader.view(Image.fromarray(draw_document(LEVELS["note"], i, "val").image)) for i in range(rows)]
    prompts = prompts_about(reader.tokenizer, PROMPT, views)
    untimed, timed = reader.engine.loops, _TimedGuard(reader.tokenizer)
    found: dict[str, list[float]] = {"off": [], "on": [], "inside": []}
    answers: list[Generation] = []
    for what in ("off", "on", "inside", "inside", "on", "off") * rounds:  # drift over time affects all equally
        reader.engine.loops = timed if what == "inside" else untimed
        guard = Guard(stop_loops=what != "off")
        scheduler, shown = reader.engine.scheduler(rows), [view.to(reader.device) for view in views]
        asked = list(reader.engine.make_prompts(prompts, shown, 200, [Sampling()], guard))
        for prompt in asked:
            scheduler.submit(prompt)
        scheduler.fill_up()  # encodes images and prompts
        started, _TimedWatch.seconds = time.process_time(), 0.0
        while scheduler.busy:
            scheduler.decode()
            scheduler.fill_up()
        answers = [prompt.answers[0].generation for prompt in asked]
        found[what].append(_TimedWatch.seconds if what == "inside" else time.process_time() - started)
    reader.engine.loops = untimed
    tokens = sum(len(answer.tokens) for answer in answers)
    return GuardCost(rows, tokens, min(found["off"]), min(found["on"]), min(found["inside"]))


@dataclass
class AuditFigures:
    """How often the ink audit is right."""

    pictures: str
    pages: int
    right: float
    """share of correct texts with `ok`"""
    half: float
    """share of first halves with `missing`"""
    doubled: float
    """share of repeated texts with `invented`"""


def measure_audit(name: str, examples: EvalSet) -> AuditFigures:
    """Audit the correct texts of a set, the first half of each, and each twice, for texts of 60 characters and more."""
    verdicts: list[list[str]] = []
    for i in range(len(examples)):
        example = examples[i]
        text, picture = example["messages"][1]["content"], example["images"][0]
        if sum(not c.isspace() for c in text) < 60:
            continue
        lines = find_lines(open_image(picture))
        rows = text.splitlines()
        half = "\n".join(rows[: len(rows) // 2]) if len(rows) > 1 else text[: len(text) // 2]
        verdicts.append([audit(lines, said).verdict for said in (text, half, text + text)])
    wanted = ("ok", "missing", "invented")
    shares = [fmean(v[k] == word for v in verdicts) if verdicts else 0.0 for k, word in enumerate(wanted)]
    return AuditFigures(name, len(verdicts), *shares)


def measure_empty(n: int) -> dict[str, tuple[int, float, float]]:
    """For images without text, by kind: (number, share `ok` without text, share `invented` with text)."""
    examples = EmptyPictures(n)
    found: dict[str, list[tuple[bool, bool]]] = {}
    for i, kind in enumerate(examples.tiers):
        lines = find_lines(open_image(examples[i]["images"][0]))
        verdicts = audit(lines, "").verdict == "ok", audit(lines, "a b c d e " * 20).verdict == "invented"
        found.setdefault(kind, []).append(verdicts)
    return {kind: (len(rows), fmean(a for a, _ in rows), fmean(b for _, b in rows)) for kind, rows in found.items()}


@dataclass
class PlaceFigures:
    """The accuracy of line positions on synthetic documents read in one view."""

    level: str
    lines: int
    """number of lines read with at most a third of the letters wrong"""
    overlap: float
    """mean intersection over union of a line's box with the true one"""
    attended: float
    """the same for the attention alone, in cells of 64 pixels"""
    holds: float
    """share of lines whose centre is inside the box of the attention"""


def overlap(a: Box, b: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def measure_places(reader: OCR, level: str, n: int, alike: Callable[[str, str], float]) -> PlaceFigures:
    """Read `n` synthetic documents of a level in one view. `alike(a, b)`: similarity of two lines, 0 to 1."""
    found: list[tuple[float, float, float]] = []
    for i in range(n):
        document = draw_document(LEVELS[level], i, "val")
        page = next(reader.read_many([Image.fromarray(document.image)]))
        true = dict(zip(document.text.split("\n"), document.line_boxes().tolist()))
        for line in page.lines:
            text = max(true, key=lambda text: alike(text, line.text), default="")
            if not text or alike(text, line.text) < 2 / 3 or line.box is None or line.attended is None:
                continue
            box, seen = true[text], line.attended
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            inside = seen[0] <= x <= seen[2] and seen[1] <= y <= seen[3]
            found.append((overlap(line.box, box), overlap(seen, box), float(inside)))
    means = [fmean(column) for column in zip(*found)] if found else [0.0] * 3
    return PlaceFigures(level, len(found), *means)


def write_numbered_pdf(path: Path, n: int, size: tuple[int, int] = PAGE) -> None:
    """A PDF of `n` pages, each an image of `size` pixels at 150 dots per inch with a number on it."""
    parts = [Image.new("L", size, 255) for _ in range(10)]
    for i, part in enumerate(parts):
        ImageDraw.Draw(part).text((size[0] // 8, size[1] // 8), f"page {i}", fill=0, font_size=40)
    more = [parts[i % 10] for i in range(1, n)]
    parts[0].save(path, "PDF", save_all=True, append_images=more, resolution=150)


@dataclass(frozen=True)
class MemoryInUse:
    """Memory while a page of a long document was read, in MB."""

    page: int
    own: float
    """of the process that reads"""
    workers: float
    """of the processes that open pages, without what they share with the first"""


def measure_memory(checkpoint: str, pages: int, folder: Path, size: tuple[int, int] = PAGE) -> list[MemoryInUse]:
    """Memory of `nano-ocr read` on a PDF of so many pages: the most in each tenth of the run.

    Raises UserError where there is no /proc, or if a page cannot be read.
    """
    if not Path("/proc/self/status").is_file():
        raise UserError("memory is measured on Linux")
    write_numbered_pdf(folder / "long.pdf", pages, size)
    ledger = folder / "long" / "ledger.jsonl"
    command = [sys.executable, "-m", "nanochat.cli", "read", str(folder / "long.pdf"), f"--checkpoint={checkpoint}",
               f"--out={ledger.parent}", "--text-layer=never"]  # fmt: skip
    found: dict[int, MemoryInUse] = {}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            done = max(0, ledger.read_bytes().count(b"\n") - 1) if ledger.is_file() else 0
            now = MemoryInUse(done, *_memory_of(process.pid))
            tenth = 10 * done // pages
            if tenth not in found or now.own > found[tenth].own:
                found[tenth] = now
            time.sleep(0.1)
        if process.returncode:
            assert process.stderr is not None
            raise UserError(process.stderr.read().strip())
    return list(found.values())


def _memory_of(process: int) -> tuple[float, float]:
    """(resident memory of a process, that of its children without what they share with it), in MB."""
    own = workers = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
            if "VmRSS" not in status:
                continue
            if int(folder.name) == process:
                own = int(status["VmRSS"].split()[0]) / 1e3
            elif int(status["PPid"]) == process:
                workers += int(status["RssAnon"].split()[0]) / 1e3
    return own, workers
