"""The model in transformers: the same tokens, logits and text, with and without the package installed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_model import tiny_model
from helpers.tiny_server import noise
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, pipeline

import nanochat.hf
from nanochat.checkpoint import load_model
from nanochat.hf import export as hf_export
from nanochat.hf.export import export_hf, fast_tokenizer, remote_code
from nanochat.image_process import expand_image_tokens, show, to_rgb
from nanochat.reading.answer import Ask
from nanochat.reading.ocr import OCR, find_model
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.saving import save_checkpoint
from scripts import export

DATA = Path(__file__).parents[2] / "data/images"
PROMPT = "<image>\nFree OCR."
PICTURES = [noise(1), noise(2, 90, 60), noise(3, 130, 250)]


@pytest.fixture(scope="module", params=["native", "square", "square, with columns and lines"])
def folder(request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, exported by the command; its byte tokens are letters, so that texts can be compared."""
    path = tmp_path_factory.mktemp("hf")
    model = tiny_model(512)
    model.config.vision.view, *lines = request.param.split(", ")
    if lines:
        model.config.gpt.line_stride, model.config.gpt.line_tokens = 16, (259, 10)
    with torch.no_grad():
        head = model.gpt.lm_head.weight
        head[[token for token in range(len(head)) if not (65 <= token < 123 or token == 10)]] = 0
    RustBPETokenizer.characters().save(path)
    save_checkpoint(path, 3, model, {}, {"stage": 2, "training": {"synth": False}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["export", f"--checkpoint={path}/step_3.pt", f"--out={path}/out", "--format=hf"])
        export.main()
    return path / "out"


def ours(folder: Path, i: int, prompt: str = PROMPT) -> tuple[list[int], list]:
    """Ids and views from the code of the package."""
    model, tokenizer, _ = load_model(folder)
    vision = model.config.vision
    shown = show(PICTURES[i], vision.mode())
    ids = tokenizer.render_for_completion({"messages": [{"role": "user", "content": prompt}], "images": [None]})
    return expand_image_tokens(ids, model.config.image_token_id, shown.layout.n_tokens), [shown]


def test_ids_and_logits_equal_those_of_the_package(folder: Path) -> None:
    """A padded batch, compared with each row alone in the forward pass of the package."""
    processor = AutoProcessor.from_pretrained(folder)
    theirs = AutoModelForImageTextToText.from_pretrained(folder)
    assert type(theirs) is nanochat.hf.NanoDeepseekOcrForConditionalGeneration and theirs.dtype == torch.float32
    batch = processor(images=PICTURES, text=[PROMPT, "<image>\nParse the figure.", PROMPT])
    with torch.inference_mode():
        logits = theirs(**batch).logits
    model, _, _ = load_model(folder)
    for i in range(3):
        ids, views = ours(folder, i, "<image>\nParse the figure." if i == 1 else PROMPT)
        assert batch["input_ids"][i, -len(ids) :].tolist() == ids
        with torch.inference_mode():
            expected = model(torch.tensor([ids]), pixel_values=views)[0]
        torch.testing.assert_close(logits[i, -len(ids) :], expected, atol=1e-4, rtol=0)


def test_generate_equals_the_engine(folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(folder)
    theirs = AutoModelForImageTextToText.from_pretrained(folder)
    batch = processor(images=PICTURES, text=[PROMPT] * 3)
    found = theirs.generate(**batch, max_new_tokens=24)[:, batch["input_ids"].size(1) :]
    uncached = theirs.generate(**batch, max_new_tokens=24, use_cache=False)[:, batch["input_ids"].size(1) :]
    assert found.tolist() == uncached.tolist()
    model, _, _ = load_model(folder)
    for i in range(3):
        ids, views = ours(folder, i)
        expected = model.generate(torch.tensor([ids]), views, max_new_tokens=24)[0, len(ids) :]
        assert found[i].tolist() == expected.tolist()
    assert len({tuple(row) for row in found.tolist()}) == 3


def test_beams_and_samples_keep_their_images(folder: Path) -> None:
    """The best answer of a beam search is that of each row alone; two images in a row are rejected."""
    processor = AutoProcessor.from_pretrained(folder)
    theirs = AutoModelForImageTextToText.from_pretrained(folder)
    batch = processor(images=PICTURES[:2], text=[PROMPT] * 2)
    together = theirs.generate(**batch, num_beams=3, max_new_tokens=10)[:, batch["input_ids"].size(1) :]
    for i in range(2):
        alone = processor(images=PICTURES[i], text=PROMPT)
        found = theirs.generate(**alone, num_beams=3, max_new_tokens=10)[:, alone["input_ids"].size(1) :]
        assert found[0].tolist() == together[i].tolist()
    with pytest.raises(ValueError, match="exactly one image per prompt"):
        theirs.generate(**processor(images=PICTURES[:2], text="<image><image>"), num_beams=2, max_new_tokens=2)


def test_two_images_in_one_question(folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(folder)
    theirs = AutoModelForImageTextToText.from_pretrained(folder)
    batch = processor(images=PICTURES[:2], text="<image>\n<image>\nWhat differs?")
    model, tokenizer, _ = load_model(folder)
    _, first = ours(folder, 0)
    _, second = ours(folder, 1)
    message = {"role": "user", "content": "<image>\n<image>\nWhat differs?"}
    ids = tokenizer.render_for_completion({"messages": [message]})
    ids = expand_image_tokens(ids, 265, [first[0].layout.n_tokens, second[0].layout.n_tokens])
    assert batch["input_ids"][0].tolist() == ids
    expected = model.generate(torch.tensor([ids]), first + second, max_new_tokens=8)
    assert theirs.generate(**batch, max_new_tokens=8).tolist() == expected.tolist()


def test_equal_images_in_every_format(folder: Path, tmp_path: Path) -> None:
    """A path, an array, a tensor and nested lists, as pipelines and chats pass them."""
    processor = AutoProcessor.from_pretrained(folder)
    PICTURES[0].save(path := tmp_path / "page.png")
    pixels = np.asarray(PICTURES[0])
    expected = processor(images=PICTURES[0], text=PROMPT)["pixel_values"]
    for image in (str(path), path, [[str(path)]], pixels, torch.tensor(pixels).permute(2, 0, 1), pixels[None]):
        assert torch.equal(processor(images=image, text=PROMPT)["pixel_values"], expected)
    black = Image.new("RGBA", PICTURES[0].size)  # black ink on a transparent background
    black.putalpha(Image.fromarray(255 - np.asarray(PICTURES[0].convert("L"))))
    black.save(clear := tmp_path / "clear.png")
    on_white = processor(images=to_rgb(black), text=PROMPT)["pixel_values"]
    for image in (black, str(clear)):
        assert torch.equal(processor(images=image, text=PROMPT)["pixel_values"], on_white)
    chat = [{"role": "user", "content": [{"type": "image", "path": str(path)}, {"type": "text", "text": "Free OCR."}]}]
    found = processor.apply_chat_template(chat, tokenize=True, return_dict=True, add_generation_prompt=True)
    assert torch.equal(found["pixel_values"], expected) and found["input_ids"][0].tolist() == ours(folder, 0)[0]


def test_pipeline_reads_the_same_text(folder: Path) -> None:
    reader = pipeline("image-text-to-text", model=str(folder))
    content = [{"type": "image", "image": PICTURES[0]}, {"type": "text", "text": "Free OCR."}]
    chat = [{"role": "user", "content": content}]
    (answer,) = reader(text=chat, max_new_tokens=24, return_full_text=False)
    ours = OCR(folder, "cpu").answerer()
    shown = ours.show(PICTURES[0], [], ours.vision.view)
    expected = ours.read([shown], PICTURES[:1], Ask(PROMPT, 24))[0].text
    assert answer["generated_text"] == expected
    (plain,) = reader(images=PICTURES[0], text=PROMPT, max_new_tokens=24, return_full_text=False)
    assert plain["generated_text"] == expected


def test_exported_folder_works_without_the_package(folder: Path, tmp_path: Path) -> None:
    """A process that cannot import nanochat, and uses the copies in the folder."""
    PICTURES[0].save(tmp_path / "page.png")
    program = f"""
import sys, json
sys.modules["nanochat"] = None
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
processor = AutoProcessor.from_pretrained("{folder}", trust_remote_code=True)
model = AutoModelForImageTextToText.from_pretrained("{folder}", trust_remote_code=True)
batch = processor(images=Image.open("{tmp_path}/page.png"), text={PROMPT!r}, return_tensors="pt")
print(json.dumps(model.generate(**batch, max_new_tokens=24)[0].tolist()))
"""
    environment = {"PATH": "", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    model, _, _ = load_model(folder)
    ids, views = ours(folder, 0)
    expected = model.generate(torch.tensor([ids]), views, max_new_tokens=24)
    assert json.loads(done.stdout.splitlines()[-1]) == expected[0].tolist()


def test_page_in_lines_reads_the_same_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped model on pages of many lines, some of them unsure, without rereading."""
    for module in ("nanochat.reading.assemble", "nanochat.hf.export"):
        monkeypatch.setattr(f"{module}.LEAST_SURE", 0.97)  # otherwise no line of these pages would be left out
    export_hf(tmp_path, *load_model(find_model("nano")))
    processor, model = AutoProcessor.from_pretrained(tmp_path), AutoModelForImageTextToText.from_pretrained(tmp_path)
    ocr, unclear = OCR("nano", "cpu", reread=False), 0
    for name in ("receipt_002", "chart_03", "textvqa_01"):
        page = Image.open(DATA / f"{name}.png")
        pieces = processor.cut_page(page)
        batch = processor(images=[piece.picture for piece in pieces], text=[PROMPT] * len(pieces))
        found = model.generate(**batch, return_dict_in_generate=True, output_logits=True)
        expected = ocr.read(page)
        assert processor.join_pieces(found, pieces) == expected.text != ""
        unclear += expected.unclear
    assert unclear, "no picture here has a line to leave out: take another"
    processor.save_pretrained(tmp_path / "again")
    again = AutoProcessor.from_pretrained(tmp_path / "again").cut_page(page)
    assert [piece.box for piece in again] == [piece.box for piece in pieces]
    found = model.generate(**batch)
    with pytest.raises(ValueError, match="output_logits=True"):
        processor.join_pieces(found, pieces)
    with pytest.raises(ValueError, match=r"single lines.*cut_page"):  # it would invent text for a whole page
        pipeline("image-text-to-text", model=model, processor=processor)(images=page, text=PROMPT)


def test_page_without_lines_is_one_piece(folder: Path) -> None:
    sheet = Image.new("RGB", (300, 200), "white")
    (piece,) = AutoProcessor.from_pretrained(folder).cut_page(sheet)
    assert (piece.row, piece.box, piece.picture.size) == (0, (0, 0, 300, 200), (128, 64))  # as tall as a line


def test_loss_equals_that_of_the_package(folder: Path) -> None:
    theirs = AutoModelForImageTextToText.from_pretrained(folder)
    batch = AutoProcessor.from_pretrained(folder)(images=PICTURES[0], text=PROMPT)
    labels = batch["input_ids"].masked_fill(torch.arange(batch["input_ids"].size(1)) < 20, -100)
    model, _, _ = load_model(folder)
    ids, views = ours(folder, 0)
    targets = torch.tensor([[-1] * 19 + ids[20:]])
    expected = model(torch.tensor([ids[:-1]]), targets, pixel_values=views)
    torch.testing.assert_close(theirs(**batch, labels=labels).loss, expected, atol=1e-5, rtol=0)


def test_columns_and_lines_of_a_continued_cache_must_be_given(folder: Path) -> None:
    theirs = AutoModelForImageTextToText.from_pretrained(folder)
    with torch.inference_mode():
        held = theirs(input_ids=torch.tensor([[256, 259, 65]]), use_cache=True).past_key_values
        if theirs.model.config.gpt.line_stride:
            with pytest.raises(ValueError, match="need `positions`"):
                theirs(input_ids=torch.tensor([[10]]), past_key_values=held)
        else:
            assert theirs(input_ids=torch.tensor([[10]]), past_key_values=held).logits.shape[1] == 1


@pytest.mark.parametrize(("images", "text"), [(None, PROMPT), (PICTURES[:2], PROMPT), (PICTURES[:1], "no place")])
def test_images_and_placeholders_must_agree(folder: Path, images, text: str) -> None:
    with pytest.raises(ValueError, match=r"images, but \d <image> in the text"):
        AutoProcessor.from_pretrained(folder)(images=images, text=text)


def test_modules_that_would_overwrite_each_other_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "hf/configuration": "", "hf/processing": "", "hf/modeling": "from nanochat.a.x import one\n",
        "a/x": "from nanochat.b.x import two\n", "b/x": "two = 2\n",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(hf_export, "PACKAGE", tmp_path)
    with pytest.raises(ValueError, match=r"nanochat.a.x and nanochat.b.x would both become x.py"):
        remote_code()
    (tmp_path / "a/x.py").write_text("import nanochat.b.x\n")
    with pytest.raises(ValueError, match=r"nanochat.a.x: write `from"):
        remote_code()


TRAINED = RustBPETokenizer.train_from_iterator(
    [Path(__file__).read_text(), "naïve café 東京 1234567 \n\n\t x" * 9], 700
)
FAST = fast_tokenizer(TRAINED)


@given(
    st.one_of(
        st.text(), st.text(alphabet="ab 12'LlSstT\n\r\t.é東"), st.sampled_from(Path(__file__).read_text().split("\n"))
    )
)
def test_trained_tokenizer_gives_the_same_ids(text: str) -> None:
    if "<|" in text:
        return
    ids = TRAINED.encode(text)
    assert FAST(text, add_special_tokens=False)["input_ids"] == ids
    assert FAST.decode(ids) == text
