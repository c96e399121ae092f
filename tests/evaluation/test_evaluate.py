"""Losses and texts of a tiny model with random weights, compared with direct computations."""

import pytest
import torch
import torch.nn.functional as F
from helpers.tiny_model import IMAGE, N_TOKENS, SIDE, tiny_model
from PIL import Image

from nanochat.engine import Engine
from nanochat.errors import UserError
from nanochat.evaluation.losses import THUMBNAIL, Reading, read_documents, summarise
from nanochat.image_process import process_image
from nanochat.metrics import character_error_rate
from nanochat.modes import get_mode
from nanochat.precision import Precision
from nanochat.tasks.common import BadSample
from nanochat.tokenizer import RustBPETokenizer

IDS = ["a", "b", "c"]
USER_START, USER_END, ASSISTANT_START, ASSISTANT_END = 257, 258, 259, 260  # ids of the character tokenizer
BOS = 256


@pytest.fixture(scope="module")
def tokenizer():
    return RustBPETokenizer.characters()


@pytest.fixture(scope="module")
def model():
    return tiny_model(sequence_len=96)


def document(colour: str, answer: str, size=(SIDE, SIDE)) -> dict:
    messages = [{"role": "user", "content": "<image>\nOCR"}, {"role": "assistant", "content": answer}]
    picture = Image.new("RGB", size, colour)
    picture.paste("white", (10, 20, 90, 50))
    return {"messages": messages, "images": [picture]}


@pytest.fixture(scope="module")
def task():
    return [document("red", "TOTAL 9.00"), document("green", "a b"), document("blue", "the third page")]


def read(model, tokenizer, task, ids=IDS, **settings) -> list[Reading]:
    mode = get_mode("square", SIDE)
    return list(read_documents(Engine(model, tokenizer), tokenizer, task, ids, mode, Precision("float32"), **settings))


def prompt_ids() -> list[int]:
    return [BOS, USER_START, *[IMAGE] * N_TOKENS, *b"\nOCR", USER_END, ASSISTANT_START]


@torch.no_grad()
def loss_by_hand(model, answer: str, picture: Image.Image) -> float:
    prompt, supervised = prompt_ids(), [*answer.encode(), ASSISTANT_END]
    ids = torch.tensor([prompt + supervised])
    logits = model(ids, pixel_values=process_image(picture, SIDE)[None])[0]
    return float(F.cross_entropy(logits[len(prompt) - 1 : -1], torch.tensor(supervised)))


def test_losses_of_the_answer_with_its_own_and_the_next_image(model, tokenizer, task):
    readings = read(model, tokenizer, task, max_tokens=4)
    assert [r.id for r in readings] == IDS
    for i, reading in enumerate(readings):
        answer = task[i]["messages"][1]["content"]
        assert reading.loss == pytest.approx(loss_by_hand(model, answer, task[i]["images"][0]), abs=1e-5)
        wrong = loss_by_hand(model, answer, task[(i + 1) % 3]["images"][0])
        assert reading.wrong_loss == pytest.approx(wrong, abs=1e-5)
        assert abs(reading.loss - wrong) > 1e-3  # the images matter, or the test would prove nothing


def test_texts_equal_naive_generation(model, tokenizer, task):
    for reading, item in zip(read(model, tokenizer, task, max_tokens=6), task, strict=True):
        prompt = torch.tensor([prompt_ids()])
        pixels = process_image(item["images"][0], SIDE)[None]
        tokens = model.generate(prompt, pixels, max_new_tokens=6)[0, prompt.size(1) :].tolist()
        ends = [i for i, token in enumerate(tokens) if token in (ASSISTANT_END, BOS)]
        assert reading.read == tokenizer.decode(tokens[: ends[0] if ends else None])
        assert reading.expected == item["messages"][1]["content"]
        assert reading.cer == character_error_rate(reading.read, reading.expected)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_results_do_not_depend_on_the_batch_size(model, tokenizer, task, batch_size):
    whole = read(model, tokenizer, task, max_tokens=5, batch_size=3)
    parts = read(model, tokenizer, task, max_tokens=5, batch_size=batch_size)
    for one, other in zip(whole, parts, strict=True):
        assert (one.id, one.read, one.overlap) == (other.id, other.read, other.overlap)
        assert (one.loss, one.wrong_loss) == pytest.approx((other.loss, other.wrong_loss), abs=1e-5)


def test_single_document_has_no_wrong_image(model, tokenizer, task):
    (reading,) = read(model, tokenizer, task[:1], ids=["a"], max_tokens=2)
    assert reading.wrong_loss is None
    summary = summarise([reading])
    assert summary.wrong_loss is None and summary.image_gain is None and summary.loss == reading.loss


@torch.no_grad()
def test_token_counts_and_feature_similarity(model, tokenizer, task):
    readings = read(model, tokenizer, task, max_tokens=4, batch_size=2)
    for reading, item in zip(readings, task, strict=True):
        assert reading.vision_tokens == N_TOKENS
        assert reading.text_tokens == len(item["messages"][1]["content"])  # a token is a byte
        assert reading.seconds > 0 and reading.stopped in ("end", "length")
    pages = [model.encode_images(process_image(item["images"][0], SIDE)[None])[0] for item in task]
    vectors = torch.stack([page[[0, 1, 3, 4]].flatten() for page in pages])  # without row ends and separator
    units = F.normalize(vectors, dim=1)
    cosines = [float(units[i] @ units[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    summary = summarise(readings)
    assert summary.similarity == pytest.approx(sum(cosines) / 3, abs=1e-5)
    assert summary.centred_similarity is not None and summary.centred_similarity < summary.similarity


def test_wrong_image_of_another_shape(model, tokenizer):
    items = [document("red", "one"), document("green", "two", size=(SIDE, SIDE // 2))]
    mode = get_mode("native", SIDE)
    first, second = read_documents(
        Engine(model, tokenizer), tokenizer, items, ["a", "b"], mode, Precision("float32"), max_tokens=2
    )
    assert (first.vision_tokens, second.vision_tokens) == (7, 4)
    swapped = {**items[0], "images": items[1]["images"]}
    (alone,) = read_documents(
        Engine(model, tokenizer), tokenizer, [swapped], ["c"], mode, Precision("float32"), max_tokens=2
    )
    assert first.wrong_loss == pytest.approx(alone.loss, abs=1e-5)


def test_thumbnails_are_small(model, tokenizer):
    (reading,) = read(model, tokenizer, [document("red", "x", size=(3000, 900))], ids=["a"], max_tokens=1)
    assert reading.picture.width == THUMBNAIL[0] and reading.picture.height < THUMBNAIL[1]
    assert "picture" not in reading.to_dict()


def test_unreadable_document_is_named(model, tokenizer):
    class Broken(list):
        def __getitem__(self, index):
            raise BadSample("data/val.json: sample 'b': broken picture")

    with pytest.raises(UserError, match="sample 'b'"):
        read(model, tokenizer, Broken([0, 1]), ids=["a", "b"])


def test_answer_that_was_cut_is_marked(model, tokenizer):
    with pytest.raises(UserError, match="tokens"):
        read(
            model,
            tokenizer,
            [
                document("red", "x"),
                {
                    **document("red", "y"),
                    "messages": [
                        {"role": "user", "content": "<image>" + "long " * 30},
                        {"role": "assistant", "content": "y"},
                    ],
                },
            ],
            ids=["a", "b"],
        )


def test_summary():
    def reading(loss, wrong_loss, overlap, cer):
        return Reading("x", loss, wrong_loss, "", "", overlap, cer, Image.new("RGB", (1, 1)))

    found = summarise([reading(1.0, 4.0, 1.0, 0.0), reading(3.0, None, 0.5, 0.2), reading(2.0, 3.0, 0.9999, 0.1)])
    assert (found.documents, found.complete) == (3, 1)
    assert found.loss == pytest.approx(2.0)
    assert found.wrong_loss == pytest.approx(3.5)
    assert found.image_gain == pytest.approx(2.0)  # of the two that were compared
    assert found.overlap == pytest.approx(0.8333)
    assert found.cer == pytest.approx(0.1)
