"""The complete model: its published parameter counts, the order of vision tokens, and the effect of images on text."""

import json
from collections.abc import Callable

import pytest
import torch
from helpers.tiny_model import IMAGE, N_TOKENS, SIDE, pictures, tiny_config, tiny_model
from torch import Tensor

from nanochat.errors import UserError
from nanochat.image_process import ImageLayout, ImageViews
from nanochat.nano_deepseek_ocr import (
    ModelConfig,
    NanoDeepseekOCR,
    Pixels,
    build_nano_deepseek_ocr,
    nano_config,
    preset,
)


def count(parameters) -> int:
    return sum(weight.numel() for weight in parameters)


def test_published_parameter_counts() -> None:
    with torch.device("meta"):
        model = build_nano_deepseek_ocr()
    parts = {name: count(part.parameters()) for name, part in model.named_children()}
    assert parts == {
        "sam_model": 95_569_152,
        "vision_model": 303_177_728,
        "projector": 2_622_720,
        "gpt": 560_990_720,
    }
    assert model.image_newline.shape == model.view_separator.shape == (1280,)
    assert count(model.parameters()) == 962_362_880
    model.freeze_sam()
    assert count(weight for weight in model.parameters() if weight.requires_grad) == 866_191_616
    prefixes = ("sam_model.", "vision_model.", "projector.", "image_newline", "view_separator", "gpt.")
    assert all(name.startswith(prefixes) for name in model.state_dict())


def test_nano_has_about_ten_million_parameters() -> None:
    with torch.device("meta"):
        assert 8e6 < count(NanoDeepseekOCR(nano_config()).parameters()) < 12e6


def test_number_of_half_height_tokens_equals_their_layout() -> None:
    model, views = NanoDeepseekOCR(preset("nano-pages")).eval(), torch.rand(2, 3, 128, 192)
    with torch.inference_mode():
        features, tokens = model.encode_views(views), model.encode_images(views)
    layout = ImageLayout((128, 192), token_size=(32, 64))
    assert features.shape == (2, 4, 3, 256) and layout.view_rows == (4, 3)
    assert [len(image) for image in tokens] == [layout.n_tokens] * 2 == [17, 17]


@pytest.mark.parametrize("name", ["d20", "nano", "nano-pages"])
def test_configuration_survives_json(name: str) -> None:
    config = preset(name)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_unknown_size_is_rejected() -> None:
    with pytest.raises(UserError, match=r"'d21'.*d20, nano"):
        preset("d21")


def square(n: int, seed: int = 1) -> list[ImageViews]:
    return [ImageViews(ImageLayout((SIDE, SIDE)), view) for view in pictures(n, seed=seed)]


def tiled(view: tuple[int, int], grid: tuple[int, int], tile: int, seed: int = 1) -> ImageViews:
    tiles = pictures(grid[0] * grid[1], tile, tile, seed)
    return ImageViews(ImageLayout(view, grid, tile), pictures(1, *view, seed=seed + 1)[0], tiles)


def test_vision_tokens_are_in_reading_order() -> None:
    """Rows across all tiles first, then those of the view, each ending with a newline; the separator is last."""
    model = tiny_model()
    image = tiled((64, 192), grid=(2, 3), tile=128)
    with torch.no_grad():
        [tokens] = model.encode_images([image])
        assert image.tiles is not None
        tiles, view = model.encode_views(image.tiles), model.encode_views(image.view[None])[0]
        expected: list[Tensor] = []
        for tile_row in range(2):
            for row in range(2):
                for tile_column in range(3):
                    expected += [tiles[tile_row * 3 + tile_column, row, column] for column in range(2)]
                expected.append(model.image_newline)
        expected += [view[0, 0], view[0, 1], view[0, 2], model.image_newline, model.view_separator]
    assert len(tokens) == len(expected) == image.layout.n_tokens
    torch.testing.assert_close(tokens, torch.stack(expected), atol=1e-4, rtol=1e-4)


def test_features_concatenate_both_encoders() -> None:
    model, pixels = tiny_model(), pictures(1)
    with torch.no_grad():
        seen = model.sam_model(pixels)  # (1, C, 2, 2)
        meant = model.vision_model(seen)  # (1, 4, C)
        features = model.encode_views(pixels)[0]
        for row in range(2):
            for column in range(2):
                both = torch.cat([meant[0, 2 * row + column], seen[0, :, row, column]])
                torch.testing.assert_close(features[row, column], model.projector(both), atol=1e-5, rtol=1e-4)


def test_list_of_square_views_equals_a_tensor() -> None:
    model = tiny_model()
    with torch.no_grad():
        torch.testing.assert_close(model.encode_images(square(3)), model.encode_images(pictures(3)))


def test_views_of_different_sizes_share_a_list() -> None:
    model = tiny_model()
    images = [*square(1), tiled((64, 128), (1, 2), SIDE), ImageViews(ImageLayout((192, 64)), pictures(1, 192, 64)[0])]
    with torch.no_grad():
        together = model.encode_images(images)
        alone = [model.encode_images([image])[0] for image in images]
    assert [len(tokens) for tokens in together] == [7, 2 * 5 + 3 + 1, 3 * 2 + 1]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_many_views_are_encoded_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sizes = tiny_model(), []
    model.sam_model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    with torch.no_grad():
        whole = model.encode_views(pictures(5))
        monkeypatch.setattr("nanochat.nano_deepseek_ocr.MAX_VIEW_PIXELS", 2 * SIDE * SIDE)
        torch.testing.assert_close(model.encode_views(pictures(5)), whole, atol=1e-4, rtol=1e-4)
    assert sizes == [5, 2, 2, 1]


def mixed_batch() -> tuple[Tensor, Tensor, list[int]]:
    """Rows with two pictures, none, one: ids (3, 20), targets, and how many pictures each row has."""
    random = torch.Generator().manual_seed(0)
    ids, targets = torch.randint(0, 256, (2, 3, 20), generator=random)
    ids[0, 1 : 1 + N_TOKENS] = ids[0, 10 : 10 + N_TOKENS] = ids[2, 5 : 5 + N_TOKENS] = IMAGE
    targets[ids == IMAGE] = -1
    return ids, targets, [2, 0, 1]


@pytest.mark.parametrize("kind", [torch.stack, list])
def test_mixed_batch_equals_each_row_alone(kind: Callable) -> None:
    model, (ids, targets, per_row) = tiny_model(), mixed_batch()
    images = square(3) if kind is list else list(pictures(3))
    with torch.no_grad():
        losses = model(ids, targets, pixel_values=kind(images), loss_reduction="none")
        logits = model(ids, pixel_values=kind(images))
        assert logits.shape == (3, 20, 323) and logits.dtype == torch.float32
        for row, n in enumerate(per_row):
            own, images = images[:n], images[n:]
            pixels = kind(own) if own else None
            alone = model(ids[row : row + 1], targets[row : row + 1], pixels, loss_reduction="none")
            torch.testing.assert_close(losses[row], alone[0], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(
                logits[row], model(ids[row : row + 1], pixel_values=pixels)[0], atol=1e-4, rtol=1e-4
            )


def test_encoded_images_can_replace_pixels() -> None:
    model, (ids, targets, _) = tiny_model(), mixed_batch()
    with torch.no_grad():
        embeds = torch.cat(model.encode_images(pictures(3)))
        torch.testing.assert_close(model(ids, targets, vision_embeds=embeds), model(ids, targets, pictures(3)))


def test_loss_depends_on_the_order_of_images() -> None:
    model, (ids, targets, _) = tiny_model(), mixed_batch()
    with torch.no_grad():
        right, wrong = model(ids, targets, pictures(3)), model(ids, targets, pictures(3).flip(0))
    assert abs(right - wrong) > 1e-3


def test_wrong_number_of_image_tokens_is_reported_with_both_counts() -> None:
    model, (ids, targets, _) = tiny_model(), mixed_batch()
    given: list[tuple[Pixels | None, str]] = [
        (pictures(2), "21 image tokens, its pictures take 14"),
        (square(4), "21 image tokens, its pictures take 28"),
        (None, "21 image tokens, its pictures take 0"),
    ]
    for pixels, message in given:
        with pytest.raises(UserError, match=message):
            model(ids, targets, pixels)
    with pytest.raises(UserError, match="21 image tokens, its pictures take 14"):
        model(ids, targets, vision_embeds=torch.zeros(14, 32))


def test_image_is_not_split_between_rows() -> None:
    """The totals agree, but the second picture's tokens would begin in one text and end in another."""
    ids = torch.zeros(2, 12, dtype=torch.long)
    ids[0, :10] = ids[1, :4] = IMAGE
    with pytest.raises(UserError, match="row 0 of the batch has 10 image tokens, its pictures take 14"):
        tiny_model()(ids, pixel_values=pictures(2))


def test_text_without_images_skips_the_encoder() -> None:
    model, looks = tiny_model(), []
    model.sam_model.register_forward_hook(lambda *_: looks.append(1))
    without: list[Pixels | None] = [None, [], pictures(0)]
    for nothing in without:
        model(torch.zeros(2, 5, dtype=torch.long), pixel_values=nothing)
    assert not looks
    ids, _, _ = mixed_batch()
    model(ids, pixel_values=pictures(3))
    assert looks


def test_image_token_can_be_changed() -> None:
    model, (ids, _, _) = tiny_model(), mixed_batch()
    with torch.no_grad():
        expected = model(ids, pixel_values=pictures(3))
        model.set_image_token_id(260)
        other = ids.where(ids != IMAGE, torch.tensor(260))
        torch.testing.assert_close(model(other, pixel_values=pictures(3)), expected)


def test_every_trainable_weight_gets_a_gradient() -> None:
    model, (ids, targets, _) = tiny_model(), mixed_batch()
    model(ids, targets, pictures(3)).backward()
    still = {name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert still == {"vision_model.embeddings.patch_embedding.weight"}
    assert not model.get_parameter("vision_model.embeddings.patch_embedding.weight").requires_grad


def test_frozen_sam_gets_no_gradient_and_the_rest_does() -> None:
    model, (ids, targets, _) = tiny_model(), mixed_batch()
    model.freeze_sam()
    model(ids, targets, pictures(3)).backward()
    assert all(weight.grad is None for weight in model.sam_model.parameters())
    for name in ("projector.layers.weight", "vision_model.embeddings.class_embedding", "image_newline"):
        assert torch.any(model.get_parameter(name).grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("cast", [False, True])
def test_bfloat16_is_close_to_float32(cast: bool) -> None:
    """Under autocast, and with the weights themselves in bfloat16 while the pixels stay float32."""
    model, (ids, targets, _) = tiny_model(), mixed_batch()
    expected = model(ids, targets, pictures(3)).item()
    with torch.autocast("cpu", torch.bfloat16, enabled=not cast):
        loss = (model.bfloat16() if cast else model)(ids, targets, pictures(3))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_model_equals_eager(backend: str) -> None:
    """`aot_eager` traces the whole forward and backward pass; `inductor` builds C++ of it, which takes a minute."""
    model, (ids, targets, _) = tiny_model(), mixed_batch()
    expected = model(ids, targets, pictures(3))
    gradient = torch.autograd.grad(expected, model.projector.layers.weight)
    loss = torch.compile(model, backend=backend)(ids, targets, pictures(3))
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)
    found = torch.autograd.grad(loss, model.projector.layers.weight)
    torch.testing.assert_close(found, gradient, atol=1e-4, rtol=1e-3)


def test_naive_generation_takes_the_most_likely_token() -> None:
    model, prompt = tiny_model(), torch.tensor([[IMAGE] * N_TOKENS + [1, 2, 3]])
    output = model.generate(prompt, pictures(1), max_new_tokens=8)
    assert torch.equal(output[:, : prompt.size(1)], prompt) and output.shape == (1, prompt.size(1) + 8)
    with torch.no_grad():
        logits = model(output[:, :-1], pixel_values=pictures(1))[0, prompt.size(1) - 1 :]
    logits[:, IMAGE] = -torch.inf
    assert torch.equal(logits.argmax(-1), output[0, prompt.size(1) :])


def test_configuration_has_the_number_of_heads_of_the_weights() -> None:
    """The number of heads of loaded weights is saved in the configuration."""
    model = NanoDeepseekOCR(tiny_config())
    model.gpt.set_heads(2, 1)
    assert model.config.gpt.n_head == 2 and model.config.to_dict()["gpt"]["n_kv_head"] == 1
