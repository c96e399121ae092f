"""A page of tables from the logs of runs/gpu_day.sh, which have a line of JSON after each step."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nanochat.errors import UserError

Rows = list[tuple[str, ...]]
SLICES = ("check", "bench", "train")
STEP = '{"step": '


def read_steps(results: Path) -> list[dict[str, Any]]:
    """All steps of all slices in order: `step`, `rc` (None: not started), `seconds`, `found`, `slice`, `validation`.

    `validation` is the last such line that the step printed, or empty. Raises UserError if there is no step.
    """
    steps = []
    for name in SLICES:
        for path in sorted(results.glob(f"{name}*.log")):
            validation = ""
            for line in path.read_text(errors="replace").splitlines():
                if "Validation loss" in line:
                    validation = line.replace(" | ", "; ")
                elif line.startswith(STEP) and line.endswith("}"):  # ignores truncated lines
                    steps.append({**json.loads(line), "slice": name, "validation": validation})
                    validation = ""
    if not steps:
        raise UserError(f"{results} holds no check.log, bench.log or train.log with a step in it")
    return steps


def outcome(rc: int | None) -> str:
    """How a step ended, by its exit status: 124 or 137 if `timeout` ended it, 137 also if memory ran out."""
    said = {None: "not begun: no time left", 0: "ok", 124: "time was up", 137: "killed: time was up, or memory was"}
    return said.get(rc, f"failed ({rc})")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) if rows else "None came back."


def parity_rows(name: str, report: dict[str, Any]) -> Rows:
    rows: Rows = [
        (name, way, f"{report['loss'][way]:.1e}", f"{report['gradients'][way]:.1e}") for way in report["loss"]
    ]
    rows += [(name, f"a step of {kind}", "", f"{error:.1e}") for kind, error in report["updates"].items()]
    return [*rows, (name, "greedy tokens that are equal", f"{report['equal_tokens']:.1%}", "")]


def training_rows(name: str, report: dict[str, Any]) -> Rows:
    rows: Rows = []
    for stage in report["stages"]:
        shape = f"{stage['batch_size']} x {stage['seq_len']}"
        rates = f"{stage['tokens_per_second']:,.0f}", f"{stage['pictures_per_second']:,.1f}", f"{stage['mfu']:.1%}"
        rows.append((name, str(stage["stage"]), shape, f"{stage['step_seconds']:.3f}", *rates))
    return rows


def part_rows(name: str, report: dict[str, Any]) -> Rows:
    rows: Rows = []
    for stage in report["stages"]:
        whole = sum(stage["parts"].values())
        rows += [(name, part, f"{s * 1e3:.1f}", f"{s / whole:.0%}") for part, s in stage["parts"].items()]
    return rows


def check_rows(name: str, report: dict[str, Any]) -> Rows:
    return [
        (name, c["name"], c["against"], f"{c['fast_seconds'] * 1e3:.2f}", f"{c['plain_seconds'] * 1e3:.2f}",
         f"{c['error']:.1e}")
        for c in report.get("checks", [])
    ]  # fmt: skip


def decoding_rows(name: str, report: dict[str, Any]) -> Rows:
    theirs, ours = report["transformers_tokens_per_second"], report["ours_with_prompt_tokens_per_second"]
    ratio = f"{ours / theirs:.1f}" if theirs else "-"
    rates = (report["decode_tokens_per_second"], report["unrecorded_tokens_per_second"])
    shown = (f"{rate:,.0f}" if rate else "-" for rate in rates)
    return [(name, str(report["batch_size"]), *shown, f"{report['mbu']:.0%}", ratio)]


def loading_rows(name: str, report: dict[str, Any]) -> Rows:
    drawn = ", ".join(f"{level} {rate:.0f}" for level, rate in report["drawn"].items())
    return [(name, f"{report['decode_and_resize']:.1f}", f"{report['loader']:.1f}", f"{report['ratio']:.0%}", drawn)]


def memory_rows(model: str, reports: list[dict[str, Any]]) -> Rows:
    rows: Rows = []
    for report in reports:
        peaks = [f"{size / 1e9:.1f}" if size else "-" for size in (report["peak"], report["measured"])]
        shape = f"{report['batch_size']} x {report['seq_len']}"
        rows.append((model, str(report["stage"]), shape, report["optimizer"], report["recompute"], *peaks))
    return rows


def page(steps: list[dict[str, Any]]) -> str:
    """The steps that ran, and a table for each kind of figure, in Markdown."""
    ran = [(s["slice"], s["step"], outcome(s["rc"]), str(s["seconds"]), s["validation"]) for s in steps]
    kinds = {  # title: (column headings, key of the figures of a step, function that returns their rows)
        "Against a CPU in float32": (("step", "", "loss", "gradients"), "parity", parity_rows),
        "Training": (("step", "stage", "tokens", "seconds", "tokens/s", "pictures/s", "MFU"), "train", training_rows),
        "Where a step's time goes": (("step", "part", "ms", "share"), "train", part_rows),
        "Fast paths": (("step", "fast path", "against", "fast, ms", "plain, ms", "difference"), "train", check_rows),
        "Reading": (
            ("step", "rows", "tokens/s", "without a graph", "MBU", "times transformers'"), "decode", decoding_rows,
        ),
        "Loading, pictures a second and core": (
            ("step", "decode and resize", "the loader", "share", "drawn"), "data", loading_rows,
        ),
    }  # fmt: skip
    parts = {"What ran": table(("slice", "step", "", "seconds", "validation"), ran)}
    found = [(s["step"], s["found"]) for s in steps if s["found"]]
    for title, (head, key, rows_of) in kinds.items():
        parts[title] = table(head, [row for name, f in found if key in f for row in rows_of(name, f[key])])
    head = ("model", "stage", "tokens", "optimizer", "recompute", "predicted", "measured")
    rows = [row for _, f in found if "memory" in f for row in memory_rows(f["model"], f["memory"])]
    parts["Memory, GB"] = table(head, rows)
    machine: dict[str, Any] = next((f for name, f in found if name == "machine"), {})
    intro = (
        f"# A day with a GPU\n\nWritten by `runs/gpu_day.sh` on: {machine.get('device')}, torch {machine.get('torch')},"
        f" {machine.get('cores')} cores. Missing there: {', '.join(machine.get('lacks', [])) or 'nothing'}."
    )
    return "\n\n".join([intro, *(f"## {title}\n\n{text}" for title, text in parts.items())]) + "\n"
