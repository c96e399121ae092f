"""The evaluation sets by name: synthetic documents, real documents, public benchmarks, your own folder."""

from nanochat.errors import UserError
from nanochat.tasks.chartqa import ChartQA
from nanochat.tasks.empty_pictures import EmptyPictures
from nanochat.tasks.eval_set import EvalSet
from nanochat.tasks.folder_set import FolderSet
from nanochat.tasks.fox import Fox
from nanochat.tasks.omnidocbench import OmniDocBench
from nanochat.tasks.sroie_lines import SroieLines
from nanochat.tasks.synth_set import SynthSet

NAMES = (
    "synth-val, synth-unseen, synth-hard, synth-latin, synth-central, view-val (-unseen, -hard, -latin), "
    "sroie-lines, empty, fox, omnidocbench, chartqa, folder:DIR"
)


def open_set(name: str, n: int, data: str = "") -> EvalSet:
    """Open the evaluation set `name` (one of NAMES).

    `n`: number of images, at least 1; of synthetic sets, of each tier. `data`: folder of the set's files; without it,
    benchmarks are downloaded from the Hugging Face Hub. Raises UserError for an unknown name, or if the data is missing
    or has another format.
    """
    if n < 1:
        raise UserError(f"n = {n}: measure on at least one picture")
    kind, _, folder = name.partition(":")
    if name.startswith("synth-"):
        return SynthSet(name.removeprefix("synth-"), n)
    if name.startswith("view-"):
        return SynthSet(name.removeprefix("view-"), n, one_view=True)
    if kind == "folder" and folder:
        return FolderSet(folder, n)
    match name:
        case "sroie-lines":
            if not data:
                raise UserError("sroie-lines: give --data=DIR with val.json, boxes_and_fields.json and the pictures")
            return SroieLines(data, n)
        case "empty":
            return EmptyPictures(n)
        case "fox":
            return Fox(data, n)
        case "omnidocbench":
            return OmniDocBench(data, n)
        case "chartqa":
            return ChartQA(data, n)
    raise UserError(f"no set called {name!r}: choose one of {NAMES}")
