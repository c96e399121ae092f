"""The command `nano-ocr`: read images and PDFs, run the server, process archives, score, fine-tune, or train a demo.

Heavy packages (torch, web servers, Ray, plots) are imported by the command that needs them, after the command line has
been parsed and the files have been found.
"""

import io
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from nanochat.archives.settings import BatchSettings
from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError, extra
from nanochat.files import PACKAGE
from nanochat.prompts import PROMPTS, asked
from nanochat.reading.ledger import Ledger
from nanochat.reading.options import (
    BackendOption,
    CheckpointOption,
    DeviceOption,
    Format,
    ModelOptions,
    ReadingMode,
    ReadOptions,
    check_least,
)
from nanochat.reading.sources import Selection, Source, find_sources
from nanochat.reading.state import READ, PageState, exit_code
from nanochat.serve.settings import ServeSettings
from nanochat.threads import wait_without_spinning

REPOSITORY = "https://github.com/nano-deepseek-ocr/nano-deepseek-ocr"

if TYPE_CHECKING:
    from nanochat.reading.documents import InputPage
    from nanochat.reading.ocr import OCR


@dataclass(frozen=True, kw_only=True)
class Read(BackendOption, ReadOptions, ModelOptions):
    """Read images and PDFs. The text goes to standard output, or to one file per input with --out."""

    files: tyro.conf.Positional[tuple[str, ...]]
    """images, PDFs, folders, patterns such as 'scans/*.png', data: URLs, or - for standard input"""
    format: Format = "txt"
    """txt, md, json, hocr, html (images beside their text),
    or pdf (searchable: images with invisible text);
    md uses the task markdown if the model was trained on it
    and no --task is given"""
    out: Path | None = None
    """folder for one file per input, and ledger.jsonl; by default, everything goes to standard output"""
    overlay: bool = False
    """also write an image of each page with the boxes of its lines or blocks (needs --out)"""
    batch_size: int = 16
    """number of views read at a time; the text does not depend on it"""
    workers: int = 2
    """processes that open pages ahead of the model; the text does not depend on it"""
    int8: bool = False
    """on a CPU, store the language model's weights in 8 bits: a quarter of the memory, slightly different text"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.files:
            raise UserError("no file to read: nano-ocr read FILE...")
        check_least(1, batch_size=self.batch_size, workers=self.workers)
        if self.out is None and (self.resume or self.retry_failed or self.overlay):
            raise UserError("--resume, --retry_failed and --overlay need a folder: give --out DIR")


@dataclass(frozen=True, kw_only=True)
class Serve(BackendOption, ModelOptions):
    """Run the HTTP server: OpenAI protocol, uploads of documents, and a web page."""

    settings: Annotated[ServeSettings, tyro.conf.arg(name="")] = field(default_factory=ServeSettings)


@dataclass(frozen=True, kw_only=True)
class Batch(ModelOptions):
    """Read an archive of any size with many processes, on this machine or a Ray cluster; writes a row for each page."""

    sources: tyro.conf.Positional[tuple[str, ...]]
    """folders, patterns, images, PDFs, tar shards, parquet files; paths, or URLs such as s3://BUCKET/scans"""
    settings: Annotated[BatchSettings, tyro.conf.arg(name="")]


@dataclass(frozen=True, kw_only=True)
class Score(DeviceOption, CheckpointOption):
    """Measure how well a model reads your own PDF, with its text layer as ground truth; writes a table and a report."""

    file: tyro.conf.Positional[str]
    """a born-digital PDF"""
    modes: tuple[ReadingMode, ...] = ()
    """modes to compare; by default only the mode that the model was trained for"""
    dpi: int = 150
    """resolution at which pages are rendered, in dots per inch"""
    degrade: float = 0.0
    """degrade the pages like a cheap scan, 0 to 1: rotation, blur, noise, JPEG"""
    pages: str = ""
    """pages such as 1-3,7; by default all"""
    password: str = ""
    """password of an encrypted PDF"""
    out: Path = Path("out/score")
    """folder for report.html, results.json and the compression curves"""
    batch_size: int = 16
    """number of views read at a time"""

    def __post_init__(self) -> None:
        check_least(1, dpi=self.dpi, batch_size=self.batch_size)


@dataclass
class Demo:
    """Train nano in both stages on the ten documents in data/, read them, and write a report."""

    out: Path = Path("out/demo")
    """folder for checkpoints and report.html"""
    data_dir: Path = Path("data")
    """documents to train on: train.json, val.json and their images"""


@dataclass(frozen=True, kw_only=True)
class Finetune(CheckpointOption):
    """Train a model further on your own scans and their transcripts."""

    folder: tyro.conf.Positional[str]
    """folder of images, each with a .txt or .xml file (PAGE-XML, ALTO) of the same name beside it"""
    out: str = "my-model"
    """folder that the model is written to"""
    steps: int = 120
    """number of optimizer steps; the default takes minutes on two cores"""
    seed: int = 42
    """random seed of the held-out scans and the training order"""
    device: str = "cpu"
    """cuda, mps or cpu"""


COMMANDS: Any = (
    Annotated[Read, tyro.conf.subcommand("read")]
    | Annotated[Serve, tyro.conf.subcommand("serve")]
    | Annotated[Batch, tyro.conf.subcommand("batch")]
    | Annotated[Score, tyro.conf.subcommand("score")]
    | Annotated[Finetune, tyro.conf.subcommand("finetune")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
)


@contextmanager
def _progress(n_sources: int | None = None) -> "Iterator[Callable[[InputPage, PageState], None]]":
    """A progress bar with pages per minute, on a terminal only, and one line on stderr for each remark about a page.

    `n_sources`: number of inputs; each counts as one page until its pages are counted. None: unknown, as for an
    archive; then only failures are reported.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    told = (PageState.FAILED,) if n_sources is None else (PageState.FAILED, *READ)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.fields[rate]} pages/min"))  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("reading", total=n_sources, rate="-")

        def on_page(page: "InputPage", state: PageState) -> None:
            task = progress.tasks[0]
            total = task.total if task.total is None or page.number > 1 else task.total + page.n_pages - 1
            rate = f"{60 * (task.completed + 1) / task.elapsed:.1f}" if task.elapsed else "-"
            progress.update(bar, advance=1, total=total, rate=rate)
            where = f"{page.source.name}, page {page.number}" if page.n_pages > 1 else page.source.name
            said = f"error: {page.why}" if state == PageState.FAILED else f"note: {where}: {page.why}"
            if page.why and state in told:
                console.print(said, markup=False, highlight=False, soft_wrap=True)

        yield on_page


def _prompt(options: Read) -> str:
    """The prompt: the given one, else that for Markdown if it is requested and was trained, else that for the text."""
    prompt = asked(options.task or "free", options.prompt)
    if options.prompt or (not options.task and options.format != "md"):
        return prompt
    from nanochat.checkpoint import peek_meta
    from nanochat.reading.ocr import find_model

    taught = peek_meta(find_model(options.checkpoint)).get("tasks", [])
    if options.task in PROMPTS and taught and options.task not in taught:
        told = f"this model was trained on {', '.join(taught)}, not {options.task}: the text will be worse"
        warnings.warn(told, stacklevel=2)
    return PROMPTS["markdown"] if not options.task and "markdown" in taught else prompt


def _find(options: Read) -> list[Source]:
    """Find the files to read. Raises UserError if the format cannot be written to standard output."""
    sources = find_sources(options.files, out=options.out)
    if options.out is None and len(sources) > 1 and options.format not in ("txt", "md", "json"):
        raise UserError(
            f"--format {options.format} writes one file per input, and there are {len(sources)}: give --out DIR"
        )
    return sources


def read(options: Read) -> int:
    """Read all inputs. Returns the exit code: 0, 1 if a page failed, 2 if nothing was read."""
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)  # type: ignore[assignment]
    sources = _find(options)
    wait_without_spinning()
    from nanochat.reading.job import Job, read_input, summary

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    prompt = _prompt(options)
    job = Job(
        sources, prompt, Selection(options.pages), options.dpi, options.password, options.workers, options.max_tokens,
        options.seconds, options.format, options.out, options.text_layer, options.overlay,
    )  # fmt: skip

    def make_reader() -> "OCR":
        from nanochat.reading.ocr import OCR

        o = options
        return OCR(o.checkpoint, o.device, o.mode, o.max_vision_tokens, o.batch_size, o.int8, backend=o.backend)

    with tempfile.TemporaryDirectory() as temporary, _progress(len(sources)) as on_page:
        folder = options.out or Path(temporary)
        settings = options.texts_depend_on(options.checkpoint, options.mode, prompt)
        ledger = Ledger(folder / "ledger.jsonl", settings, options.resume, options.retry_failed)
        with closing(ledger):
            try:
                totals = read_input(make_reader, job, ledger, on_page)
            except KeyboardInterrupt:
                going_on = f" in {folder}; continue with --resume" if options.out else ""
                print(f"{summary(ledger.counts())}{going_on}", file=sys.stderr)
                raise
    states = totals.states
    if sum(states.values()) > 1 or not states[PageState.OK] + states[PageState.FAILED]:
        print(totals, file=sys.stderr)
    return exit_code(states)


def demo(out: Path, data_dir: Path) -> int:
    """Run `scripts.demo` of the checkout that contains this package. Returns its exit code.

    Raises UserError where there is none: an installed package has neither the recipes nor the documents.
    """
    checkout = PACKAGE.parent
    if not (checkout / "scripts" / "demo.py").is_file():
        raise UserError(f"the demo needs the repository: git clone --depth 1 {REPOSITORY}, then run "
                        "bash runs/demo.sh in it")  # fmt: skip
    with extra("train"):
        import faker  # noqa: F401 - checks for the extra, because the demo is a separate process
    flags = [f"--out={out.resolve()}", f"--data-dir={data_dir.resolve()}"]
    try:
        return subprocess.run([sys.executable, "-m", "scripts.demo", *flags], cwd=checkout).returncode
    except KeyboardInterrupt:  # the demo process has reported it
        return 130


@entry_point
def main() -> None:
    command = parse_args(COMMANDS, "Read images and PDFs, serve, evaluate and train models.")
    code = 0
    if isinstance(command, Read):
        code = read(command)
    elif isinstance(command, Serve):
        wait_without_spinning()
        with extra("serve"):
            from nanochat.serve.app import serve
        from nanochat.reading.ocr import OCR

        name = Path(command.checkpoint).stem
        serve(
            command.settings,
            name,
            lambda: OCR(command.checkpoint, command.device, command.mode, backend=command.backend),
        )
    elif isinstance(command, Batch):
        with extra("archives"):
            from nanochat.archives.files import find_files

        files = find_files(command.sources)
        wait_without_spinning()
        with extra("archives"):
            from nanochat.archives.batch import batch

        with _progress() as on_page:
            code = batch(files, command.settings, command.checkpoint, command.mode, on_page)
    elif isinstance(command, Score):
        selection = Selection(command.pages)
        find_sources([command.file])
        wait_without_spinning()
        with extra("train"):
            from nanochat.evaluation import score_pdf as score

        found = score.PdfPages(command.file, command.dpi, selection, command.degrade, command.password)
        score.score(
            command.file, command.checkpoint, command.modes, found, command.out, command.device, command.batch_size
        )
    elif isinstance(command, Finetune):
        with extra("train"):
            from nanochat.training.finetune import FinetuneConfig, finetune

        c = command
        rates = finetune(FinetuneConfig(c.folder, c.out, c.checkpoint, c.steps, seed=c.seed, device=c.device))
        print(f"error rate on the held-out scans: {rates['before']:.2%} before, {rates['after']:.2%} after; {c.out}")
    else:
        code = demo(command.out, command.data_dir)
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
