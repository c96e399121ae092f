"""The complete model: a GPT in whose input the tokens of DeepEncoder replace `<|image|>`."""

from collections import defaultdict
from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from nanochat.deepencoder.clip import CLIP
from nanochat.deepencoder.projector import Projector
from nanochat.deepencoder.sam import SAM
from nanochat.gpt import GPT, KVCache, cap
from nanochat.image_process import ImageLayout, ImageViews
from nanochat.model_config import PRESETS as PRESETS
from nanochat.model_config import GPTConfig, ModelConfig, VisionConfig, check_places
from nanochat.model_config import nano_config as nano_config
from nanochat.model_config import preset as preset

MAX_VIEW_PIXELS = 16 * 1024 * 1024  # pixels encoded together when nothing is kept for a backward pass
Pixels = Tensor | Sequence[ImageViews]


def choose_tokens(logits: Tensor, temperature: float, top_k: int | None, random: torch.Generator) -> Tensor:
    """One token for each row of logits (B, V): (B,). Greedy at temperature 0, else sampled from the `top_k` best."""
    if temperature == 0:
        return logits.argmax(-1)
    if top_k:
        least = logits.topk(min(top_k, logits.size(-1))).values[:, -1:]  # (B, 1)
        logits = logits.masked_fill(logits < least, -torch.inf)
    return torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=random)[:, 0]


class NanoDeepseekOCR(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        sam, clip, width = config.vision.sam, config.vision.clip, config.gpt.n_embd
        self.sam_model = SAM(sam)
        self.vision_model = CLIP(clip)
        self.projector = Projector(clip.width + sam.out_channels[-1], width)
        self.image_newline = nn.Parameter(torch.empty(width))
        self.view_separator = nn.Parameter(torch.empty(width))
        self.gpt = GPT(config.gpt)
        if not self.image_newline.is_meta:
            nn.init.normal_(self.image_newline, std=width**-0.5)
            nn.init.normal_(self.view_separator, std=width**-0.5)

    @property
    def device(self) -> torch.device:
        return self.image_newline.device

    def set_image_token_id(self, image_token_id: int) -> None:
        """Set the token that marks the position of an image."""
        self.config.image_token_id = image_token_id

    def freeze_sam(self, blocks_only: bool = False) -> None:
        """Freeze SAM; with `blocks_only`, its neck and compressor are still trained."""
        self.sam_model.requires_grad_(False)
        if blocks_only:
            for part in (self.sam_model.neck, self.sam_model.net_2, self.sam_model.net_3):
                part.requires_grad_(True)

    def encode_views(self, pixels: Tensor) -> Tensor:
        """Vision features of views of equal size, on any device: (N, 3, H, W) in [-1, 1] -> (N, r, c, C).

        r and c are the rows and columns of vision tokens: H/64 and W/64 where a token shows 64 x 64 pixels.
        """
        if not torch.is_grad_enabled():
            per_chunk = max(1, MAX_VIEW_PIXELS // (pixels.shape[-1] * pixels.shape[-2]))
            if len(pixels) > per_chunk:
                return torch.cat([self.encode_views(chunk) for chunk in pixels.split(per_chunk)])
        features = self.sam_model(pixels.to(self.image_newline))  # (N, C_sam, r, c)
        seen = self.vision_model(features)  # (N, r*c, C_clip)
        joined = torch.cat([seen, features.flatten(2).transpose(1, 2)], dim=-1)  # (N, r*c, C_clip + C_sam)
        return self.projector(joined).unflatten(1, features.shape[-2:])  # (N, r, c, C)

    def _close_rows(self, grid: Tensor) -> Tensor:
        """(r, c, C) -> (r (c + 1), C): with `image_newline` at the end of every row."""
        newline = self.image_newline.to(grid.dtype).expand(grid.size(0), 1, -1)
        return torch.cat([grid, newline], dim=1).flatten(0, 1)

    def _lay_out(self, layout: ImageLayout, view: Tensor, tiles: Tensor | None) -> Tensor:
        """Features of one image in reading order: rows of the tiles, rows of the view, separator: (n_tokens, C)."""
        parts = [self._close_rows(view), self.view_separator.to(view.dtype)[None]]
        if tiles is not None:  # (rows * columns, m, m, C) -> (rows * m, columns * m, C)
            grid = tiles.unflatten(0, layout.tile_grid).transpose(1, 2).flatten(2, 3).flatten(0, 1)
            parts.insert(0, self._close_rows(grid))
        return torch.cat(parts)

    def encode_images(self, pixel_values: Pixels) -> list[Tensor]:
        """Each image's tokens (n_tokens, C), in order.

        `pixel_values`: (N, 3, H, W), one view per image, or a list of ImageViews. Views of equal size are encoded
        together, whichever images they belong to.
        """
        if isinstance(pixel_values, Tensor):
            layout = self.config.vision.layout(pixel_values.size(-2), pixel_values.size(-1))
            return [self._lay_out(layout, view, None) for view in self.encode_views(pixel_values)]
        groups: dict[tuple, list[tuple[tuple[int, str], Tensor]]] = defaultdict(list)  # (H, W) -> whose, (k, 3, H, W)
        for i, image in enumerate(pixel_values):
            groups[tuple(image.view.shape[-2:])].append(((i, "view"), image.view[None]))
            if image.tiles is not None:
                groups[tuple(image.tiles.shape[-2:])].append(((i, "tiles"), image.tiles))
        features: dict[tuple[int, str], Tensor] = {}
        for members in groups.values():
            encoded = self.encode_views(torch.cat([pixels for _, pixels in members]))
            parts = encoded.split([len(pixels) for _, pixels in members])
            features.update({whose: part for (whose, _), part in zip(members, parts)})
        return [
            self._lay_out(image.layout, features[i, "view"][0], features.get((i, "tiles")))
            for i, image in enumerate(pixel_values)
        ]

    def embed(self, input_ids: Tensor, pixel_values: Pixels | None, vision_embeds: Tensor | None) -> Tensor:
        """Embeddings (B, T, C) of the text, with each `<|image|>` replaced by the next vision token.

        Raises UserError if the number of `<|image|>` tokens differs from the number of vision tokens.
        """
        embeds = self.gpt.embed(input_ids)
        places = input_ids == self.config.image_token_id  # (B, T)
        row_places = places.sum(1)
        if vision_embeds is not None:
            images = [vision_embeds.reshape(-1, embeds.size(-1))]
            row_places = row_places.sum(0, keepdim=True)  # the row of each image is unknown
        elif pixel_values is not None and len(pixel_values):
            images = self.encode_images(pixel_values)
        else:
            images = []
        if not torch.compiler.is_compiling():
            check_places(row_places.tolist(), [len(tokens) for tokens in images])
        if not images:
            return embeds
        return embeds.masked_scatter(places.unsqueeze(-1), torch.cat(images).to(embeds.dtype))

    def forward(
        self,
        input_ids: Tensor,
        targets: Tensor | None = None,
        pixel_values: Pixels | None = None,
        vision_embeds: Tensor | None = None,
        loss_reduction: str = "mean",
        kv_cache: KVCache | None = None,
        documents: list[int] | None = None,
    ) -> Tensor:
        """The loss if `targets` (B, T; -1 is ignored) are given, else float32 logits (B, T, V).

        A batch may mix rows with no image, one or several. `pixel_values` holds all images in order of appearance (see
        `encode_images`), or `vision_embeds` their encoded tokens (all tokens, C). Text alone needs no vision
        computation. `loss_reduction`: "mean", "sum" or "none", as in `GPT.forward`; `documents`: as in `GPT.hidden`.
        """
        return self.gpt(
            targets=targets, kv_cache=kv_cache, loss_reduction=loss_reduction, documents=documents,
            inputs_embeds=self.embed(input_ids, pixel_values, vision_embeds),
            positions=self.gpt.positions(input_ids, kv_cache, documents),
        )  # fmt: skip

    @torch.inference_mode()
    def generate(
        self,
        input_ids: Tensor,
        pixel_values: Pixels | None = None,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        top_k: int | None = None,
        seed: int = 42,
    ) -> Tensor:
        """Continue (B, T) ids by `max_new_tokens` tokens, recomputing the sequence for each: (B, T + max_new_tokens).

        The reference for the Engine with its KV cache. Greedy at temperature 0. Never generates `<|image|>`.
        """
        random = torch.Generator(device=input_ids.device).manual_seed(seed)
        vision = None
        if pixel_values is not None and len(pixel_values):
            vision = torch.cat(self.encode_images(pixel_values))
        for _ in range(max_new_tokens):
            embeds, positions = self.embed(input_ids, None, vision), self.gpt.positions(input_ids)
            hidden = self.gpt.hidden(embeds, positions=positions)[:, -1]
            chosen = choose_tokens(self.next_logits(hidden), temperature, top_k, random)
            input_ids = torch.cat([input_ids, chosen[:, None]], dim=1)
        return input_ids

    def next_logits(self, hidden: Tensor, gpt: GPT | None = None) -> Tensor:
        """Logits (B, V) of the token after hidden states (B, C), with `<|image|>` excluded.

        `gpt`: a copy of the model's GPT whose head is used instead.
        """
        logits = cap((gpt or self.gpt).lm_head(hidden))
        logits[:, self.config.image_token_id] = -torch.inf
        return logits


def build_nano_deepseek_ocr(
    gpt_config: GPTConfig | None = None, vision_config: VisionConfig | None = None
) -> NanoDeepseekOCR:
    """The model with random weights; d20 (962,362,880 parameters) by default; `<|image|>` is the last token."""
    gpt = gpt_config or GPTConfig()
    return NanoDeepseekOCR(ModelConfig(vision_config or VisionConfig(), gpt, image_token_id=gpt.vocab_size - 1))
