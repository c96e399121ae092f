"""A model small enough for any test: all parts of the real one, with random weights that all affect the output."""

import torch

from nanochat.deepencoder import VisionConfig
from nanochat.deepencoder.clip import CLIPConfig
from nanochat.deepencoder.sam import SAMConfig
from nanochat.gpt import GPTConfig
from nanochat.nano_deepseek_ocr import ModelConfig, NanoDeepseekOCR

IMAGE = 265  # `<|image|>` of the tokenizer of characters
SIDE = 128  # of a picture, in pixels: 2 x 2 vision tokens, 7 tokens in the text
N_TOKENS = 7
SMALL_SAM = SAMConfig(
    grid=8, width=32, n_layer=3, n_head=2, global_layers=(2,), window=5, neck=16, out_channels=(8, 12)
)
SMALL_CLIP = CLIPConfig(grid=4, width=32, n_layer=2, n_head=2, patch_size=14)


def tiny_config(sequence_len: int = 64) -> ModelConfig:
    """A configuration with two layers of width 32 in every part, and grouped heads in the GPT."""
    sam = SAMConfig(grid=8, width=32, n_layer=2, n_head=2, global_layers=(1,), window=4, neck=16, out_channels=(16, 32))
    clip = CLIPConfig(grid=2, width=32, n_layer=2, n_head=2, patch_size=14)
    gpt = GPTConfig(sequence_len, vocab_size=323, n_layer=2, n_head=4, n_kv_head=2, n_embd=32)
    return ModelConfig(VisionConfig(sam, clip, image_size=SIDE), gpt, image_token_id=IMAGE)


@torch.no_grad()
def randomise(model: torch.nn.Module, seed: int = 0) -> None:
    """Randomise every weight, because output layers of a new model are zero, so that nothing affects its output."""
    random = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=random)
        if weight.ndim == 1:
            weight.copy_(noise * 0.1 + name.endswith("weight"))  # of a norm: about 1; a bias: about 0
        else:
            weight.copy_(noise * (3.0 if "lm_head" in name else 1.5) * weight[0].numel() ** -0.5)


def tiny_model(sequence_len: int = 64, seed: int = 0) -> NanoDeepseekOCR:
    """A tiny model with random weights whose output depends on every image and every token."""
    model = NanoDeepseekOCR(tiny_config(sequence_len)).eval()
    randomise(model, seed)
    return model


def pictures(n: int, height: int = SIDE, width: int = SIDE, seed: int = 1) -> torch.Tensor:
    """Noise in [-1, 1], (n, 3, height, width), each image with its own tint, because noise alone looks similar."""
    pixels = torch.zeros(n, 3, height, width)
    for i, picture in enumerate(pixels):
        random = torch.Generator().manual_seed(1000 * seed + i)
        tint = torch.rand(3, 1, 1, generator=random) * 2 - 1
        picture.copy_((tint + torch.rand(3, height, width, generator=random) * 2 - 1) / 2)
    return pixels


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Assert that values are equal to 1e-4, and not only because both are close to zero."""
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
