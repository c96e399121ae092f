"""Measure training, decoding, data loading and memory, relative to the limits of this machine.

python -m dev.bench                                                # everything, at the sizes of nano
python -m dev.bench train --model=nano --stage=1 --batch_size=64 --seq_len=64 --image_size=128
python -m dev.bench decode --model=nano --batch_size=8
python -m dev.bench data
python -m dev.bench packing --batch_size=8 --seq_len=1024           # chartqa and smoltalk, from the hub or local
python -m dev.bench parity                                         # results of a GPU compared with a CPU
python -m dev.bench threads --steps=2                              # reading, alone and on a busy machine
python -m dev.bench memory --model=d20 --stage=2 --batch_size=4 --seq_len=8192

Prints tables, then all figures as JSON on the last line.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from dev.bench import checks, data, decode, packing, parity, threads, train
from dev.bench.peak import step_peak
from nanochat.command import entry_point, parse_args
from nanochat.common import autodetect_device_type, choose_device
from nanochat.errors import UserError
from nanochat.machine import choose_precision
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, preset
from nanochat.tasks.common import TaskMixture
from nanochat.tasks.finevision import FineVision
from nanochat.tasks.smoltalk import SmolTalk
from nanochat.training.config import TrainConfig
from nanochat.training.memory import GB, StepShape, predict
from nanochat.training.optim import OptimizerName
from nanochat.training.recompute import Recompute
from nanochat.training.trainer import Trainer

# Defaults of (batch size, tokens per sequence, side of a page), as the stages use them.
SHAPES = {
    ("nano", "cpu"): (64, 64, 128),
    ("nano", "cuda"): (64, 1024, 512),
    ("d20", "cpu"): (1, 512, 1024),
    ("d20", "cuda"): (2, 4096, 1024),
}
LEVELS = ("B", "note", "page")  # levels of synthetic documents, for the loader


@dataclass
class Config:
    """Measure the speed of this machine, then how much of it this code uses."""

    what: Positional[Literal["all", "parity", "packing", "train", "decode", "data", "memory", "threads"]] = "all"
    """what to measure; all: everything but parity, packing and threads"""
    model: str = "nano"
    """size: nano or d20"""
    stage: Literal[0, 1, 2] = 0
    """stage of training; 0: both"""
    batch_size: int = 0
    """sequences per training step, or rows to decode; 0: a default for the model size"""
    seq_len: int = 0
    """tokens per sequence, including a page, or of the prompt when decoding; 0: a default for the model size"""
    image_size: int = 0
    """side of a page in pixels; 0: that of the model size"""
    optimizer: OptimizerName = "muon"
    """adamw, adamw8bit, or muon for matrices and adamw for the rest"""
    precision: Literal["default", "auto", "float32", "medium", "bfloat16"] = "auto"
    """precision of matrix products, as in training"""
    recompute: Recompute = "none"
    """blocks to recompute in the backward pass: none, sam or all"""
    compile: bool = False
    """compile each block with torch.compile"""
    int8: bool = False
    """decode on a CPU with the language model's weights in 8 bits"""
    dense: bool = False
    """in stage 1, also train the head for dense labels"""
    steps: int = 3
    """number of steps to time; the fastest counts"""
    tokens: int = 64
    """number of tokens to decode for each row"""
    data_dir: str = "data"
    """folder of documents for the data loader"""
    chartqa: str = "chartqa"
    """for packing: a subset of FineVision, or a local parquet file or folder"""
    smoltalk: str = "HuggingFaceTB/smol-smoltalk"
    """for packing: hub id, or a local parquet file or folder; as many conversations are used as there are charts"""
    device: str = ""
    """cuda or cpu; memory is predicted for cuda unless this is cpu"""


def stages(config: Config) -> tuple[Literal[1, 2], ...]:
    """The stages to measure."""
    return (1, 2) if config.stage == 0 else (config.stage,)


def shape_of(config: Config, device: str) -> tuple[int, int, int]:
    """(batch size, tokens, side of a page): from the flags, else the defaults of the model size."""
    own = SHAPES[config.model, device if device == "cuda" else "cpu"]
    return config.batch_size or own[0], config.seq_len or own[1], config.image_size or own[2]


def build_trainer(config: Config, number: int, device: torch.device) -> Trainer:
    """A trainer of the stage on generated pages."""
    batch, tokens, side = shape_of(config, device.type)
    settings = TrainConfig(
        model=config.model, batch_size=batch, seq_len=tokens, image_size=side, optimizer=config.optimizer,
        precision=config.precision, recompute=config.recompute, compile=config.compile, steps=1,
    )  # fmt: skip
    return train.filled_trainer(settings, train.flat_stage(number, config.dense and number == 1), device)


def bench_train(config: Config, device: torch.device, console: Console) -> dict[str, Any]:
    """Measure the rates of the machine, then a step of each stage part by part."""
    found: dict[str, Any] = {"stages": []}
    for number in stages(config):
        trainer = build_trainer(config, number, device)
        if not found["stages"]:
            machine = train.measure_machine(trainer)
            found["machine"] = asdict(machine)
            console.print(machine_table(machine))
        report = train.measure_step(trainer, config.steps, machine.peak_flops)
        found["stages"].append(asdict(report))
        console.print(step_table(config, report))
        del trainer
    try:
        found["checks"] = [asdict(check) for check in checks.run_checks(config.model, device)]
    except RuntimeError as error:  # the steps measured so far are still reported
        console.print(f"a fast path failed: {error}")
        found["checks"] = []
    console.print(check_table(found["checks"]))
    return found


def machine_table(machine: train.Machine) -> Table:
    """Print the limits of the machine."""
    table = Table("this machine", "", title=f"{machine.device}, {machine.threads} threads")
    table.add_row("matrix products, large and square", f"{machine.peak_flops / 1e9:,.0f} GFLOP/s")
    for name, rate in machine.product_flops.items():
        table.add_row(f"- at the shape of {name}", f"{rate / 1e9:,.0f} GFLOP/s")
    table.add_row("memory copy, read and written", f"{machine.copy_bytes / 1e9:,.1f} GB/s")
    return table


def step_table(config: Config, report: train.StepReport) -> Table:
    """Print a step of one stage part by part."""
    title = f"{config.model}, stage {report.stage}: {report.batch_size} x {report.seq_len} tokens, {report.precision}"
    table = Table("part", "seconds", "share", title=f"{title}, pages of {report.image_size}")
    whole = sum(report.parts.values())
    for name, seconds in report.parts.items():
        table.add_row(name, f"{seconds:.4f}", f"{seconds / whole:.0%}")
    table.add_row("the whole step, by the trainer", f"{report.step_seconds:.4f}", "", style="bold")
    table.add_row("tokens and pictures a second", f"{report.tokens_per_second:,.0f}, {report.pictures_per_second:.1f}")
    table.add_row("MFU, the encoder counted", f"{report.mfu:.1%}")
    table.add_row("processor time that this program had", f"{report.processor_share:.0%}")
    table.add_row("gradients of the parts are the step's", f"{report.gradient_error:.1e}")
    return table


def check_table(found: list[dict[str, Any]]) -> Table:
    """Compare fast paths with plain ones."""
    table = Table("fast path", "against", "fast, ms", "plain, ms", "difference", title="fast and plain paths")
    for check in found:
        times = f"{check['fast_seconds'] * 1e3:.2f}", f"{check['plain_seconds'] * 1e3:.2f}"
        table.add_row(check["name"], check["against"], *times, f"{check['error']:.1e}")
    return table


def bench_parity(config: Config, device: torch.device, console: Console) -> dict[str, Any]:
    """Compare the results of this device with those of a CPU."""
    report = parity.measure_parity(config.model, device, compiled=config.compile)
    table = Table("against a CPU in float32", "loss", "gradients", title=f"{config.model} on {report.device}")
    for name in report.loss:
        table.add_row(f"{name} here", f"{report.loss[name]:.1e}", f"{report.gradients[name]:.1e}")
    for name, error in report.updates.items():
        table.add_row(f"a step of {name} on the same gradients", "", f"{error:.1e}")
    table.add_row("greedy tokens that are equal", f"{report.equal_tokens:.1%}")
    console.print(table)
    return asdict(report)


def bench_decode(config: Config, device: torch.device, console: Console) -> dict[str, Any]:
    """Measure decoding, relative to memory bandwidth, naive generation and `transformers`."""
    torch.manual_seed(0)
    model = NanoDeepseekOCR(preset(config.model)).to(device).eval()
    train.wake(model)
    batch, prompt = config.batch_size or 8, config.seq_len or 128
    kind = "float32" if config.int8 else config.precision if config.precision != "default" else "auto"
    precision = choose_precision(kind, device)
    naive = config.model == "nano"
    report = decode.measure_decode(model, precision, batch, prompt, config.tokens, naive, config.int8)
    theirs = report.transformers_tokens_per_second
    table = Table("reading", "", title=f"{config.model}: {batch} rows, prompts of {prompt} tokens, {report.precision}")
    table.add_row("prefill, tokens a second", f"{report.prefill_tokens_per_second:,.0f}")
    table.add_row("decode, tokens a second", f"{report.decode_tokens_per_second:,.0f}")
    if report.unrecorded_tokens_per_second:
        table.add_row("the same without a CUDA graph", f"{report.unrecorded_tokens_per_second:,.0f}")
    table.add_row("MBU: bytes moved over a copy's", f"{report.mbu:.1%} of {report.copy_bytes / 1e9:.0f} GB/s")
    table.add_row("choices made again from a row alone", f"{report.rechecks} of {batch * (config.tokens + 1)}")
    if report.naive_tokens_per_second:
        table.add_row("the naive way", f"{report.naive_tokens_per_second:,.0f}, equal: {report.equal_to_naive}")
    if theirs:
        ratio = report.ours_with_prompt_tokens_per_second / theirs
        table.add_row("transformers' generate, prompt included", f"{theirs:,.0f}; ours {ratio:.2f} times as fast")
        table.add_row("tokens that are the same", f"{report.equal_to_transformers:.0%}")
    else:
        table.add_row("transformers' generate", "not installed")
    console.print(table)
    return asdict(report)


def bench_data(config: Config, console: Console) -> dict[str, Any]:
    """Measure the loader, relative to decoding and resizing alone."""
    report = data.measure_data(config.model, config.image_size, config.data_dir, 5, LEVELS)
    table = Table("loading, one core", "pictures a second", title=f"pages of {report.image_size}, {report.view}")
    table.add_row("decode and resize alone", f"{report.decode_and_resize:.1f}")
    table.add_row("the loader", f"{report.loader:.1f} ({report.ratio:.0%})")
    for level, rate in report.drawn.items():
        table.add_row(f"drawn, level {level}", f"{rate:.1f}")
    console.print(table)
    return asdict(report)


def bench_packing(config: Config, device: torch.device, console: Console) -> dict[str, Any]:
    """Measure batches of charts and conversations, padded and packed."""
    charts = FineVision(config.chartqa, "train")
    task = TaskMixture([charts, SmolTalk("train", source=config.smoltalk, stop=len(charts))])
    settings = TrainConfig(
        model=config.model, batch_size=config.batch_size or 8, seq_len=config.seq_len or 1024,
        image_size=config.image_size or 256, optimizer=config.optimizer, precision=config.precision, steps=1,
    )  # fmt: skip
    report = packing.measure_packing(settings, task, config.steps, device)
    title = f"{config.model}, stage 1, charts and talk: {report.batch_size} samples, {report.precision}"
    table = Table(title, "padded", "packed")
    table.add_row("tokens that are padding", *(f"{share:.1%}" for share in report.padding))
    table.add_row("seconds a step", *(f"{seconds:.3f}" for seconds in report.step_seconds))
    table.add_row("difference of the loss", "", f"{report.loss_difference:.1e}")
    console.print(table)
    return asdict(report)


def bench_memory(config: Config, console: Console) -> list[dict[str, Any]]:
    """Predict peak memory; on the device itself, also measure it."""
    target = config.device or "cuda"
    here = torch.device(autodetect_device_type())
    batch, tokens, side = shape_of(config, target)
    precision: Any = "bfloat16" if target == "cuda" else choose_precision(config.precision, here).name
    found = []
    table = Table("part", "GB", title=f"{config.model} on {target}: {batch} x {tokens} tokens, pages of {side}")
    for number in stages(config):
        shape = StepShape(
            number, batch, tokens, side, config.optimizer, "float32" if precision == "medium" else precision,
            config.dense and number == 1, config.recompute,
        )  # fmt: skip
        report = predict(preset(config.model), shape, "cpu" if target == "cpu" else "cuda")
        for name, n_bytes in report.parts.items():
            table.add_row(f"stage {number}: {name}", f"{n_bytes / GB:.2f}")
        table.add_row(f"stage {number}: predicted peak, in the {report.at}", f"{report.peak / GB:.2f}", style="bold")
        measured = None
        if here.type == target:
            measured = step_peak(build_trainer(replace(config, precision=precision), number, here))
            table.add_row(f"stage {number}: measured peak", f"{measured / GB:.2f} ({report.peak / measured:.1%})")
        found.append({**asdict(shape), **asdict(report), "measured": measured})
    console.print(table)
    return found


def bench_threads(config: Config, console: Console) -> list[dict[str, Any]]:
    """Time the reading of one receipt by number of threads, alone and beside busy processes."""
    cases = []
    for case in threads.measure_threads(f"{config.data_dir}/images/receipt_000.png", config.steps):
        cases.append(case)
        console.print(f"{case.way}, {case.cores} cores, {case.busy} busy: {case.over_best:+.0%} over the best")
    title = f"seconds, the median of {config.steps}; start of the process included"
    table = Table("way", "cores", "busy", "other load", *threads.SETTINGS, "chosen over the best", title=title)
    for case in cases:
        seconds = (f"{case.seconds[name]:.2f}" for name in threads.SETTINGS)
        table.add_row(
            case.way, str(case.cores), str(case.busy), f"{case.others:.1f}", *seconds, f"{case.over_best:+.0%}"
        )
    console.print(table)
    return [{**asdict(case), "over_best": case.over_best} for case in cases]


@entry_point
def main() -> None:
    config, console = parse_args(Config, __doc__), Console()
    if config.model not in ("nano", "d20"):
        raise UserError(f"no model called {config.model!r}: choose nano or d20")
    wanted = ("train", "decode", "data", "memory") if config.what == "all" else (config.what,)
    device = choose_device(config.device if wanted != ("memory",) else "")
    results: dict[str, Any] = {"model": config.model, "torch": torch.__version__}
    if "parity" in wanted:
        results["parity"] = bench_parity(config, device, console)
    if "train" in wanted:
        results["train"] = bench_train(config, device, console)
    if "decode" in wanted:
        results["decode"] = bench_decode(config, device, console)
    if "data" in wanted:
        results["data"] = bench_data(config, console)
    if "packing" in wanted:
        results["packing"] = bench_packing(config, device, console)
    if "threads" in wanted:
        results["threads"] = bench_threads(config, console)
    if "memory" in wanted:
        results["memory"] = bench_memory(config, console)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
