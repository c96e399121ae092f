"""The whole model: DeepEncoder's view of a page, laid out as tokens, in place of `<|image|>` in the text of a GPT."""

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
    """One token for each row of logits (B, V): (B,); the likeliest at temperature 0, else drawn from the `top_k`."""
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
        """Tell the model which token marks a picture's place."""
        self.config.image_token_id = image_token_id

    def freeze_sam(self, blocks_only: bool = False) -> None:
        """SAM no longer trains; with `blocks_only` its neck and its compressor still do."""
        self.sam_model.requires_grad_(False)
        if blocks_only:
            for part in (self.sam_model.neck, self.sam_model.net_2, self.sam_model.net_3):
                part.requires_grad_(True)

    def encode_views(self, pixels: Tensor) -> Tensor:
        """Vision features of views of one size, on any device: (N, 3, H, W) in [-1, 1] -> (N, H/64, W/64, C)."""
        if not torch.is_grad_enabled():
            per_chunk = max(1, MAX_VIEW_PIXELS // (pixels.shape[-1] * pixels.shape[-2]))
            if len(pixels) > per_chunk:
                return torch.cat([self.encode_views(chunk) for chunk in pixels.split(per_chunk)])
        features = self.sam_model(pixels.to(self.image_newline))  # (N, C_sam, r, c)
        seen = self.vision_model(features)  # (N, r*c, C_clip)
        joined = torch.cat([seen, features.flatten(2).transpose(1, 2)], dim=-1)  # (N, r*c, C_clip + C_sam)
        return self.projector(joined).unflatten(1, features.shape[-2:])  # (N, r, c, C)

    def _close_rows(self, grid: Tensor) -> Tensor:
        """(r, c, C) -> (r (c + 1), C): every row closed by `image_newline`."""
        newline = self.image_newline.to(grid.dtype).expand(grid.size(0), 1, -1)
        return torch.cat([grid, newline], dim=1).flatten(0, 1)

    def _lay_out(self, layout: ImageLayout, view: Tensor, tiles: Tensor | None) -> Tensor:
        """Features of one image in reading order: tiles' rows, the view's rows, the separator: (n_tokens, C)."""
        parts = [self._close_rows(view), self.view_separator.to(view.dtype)[None]]
        if tiles is not None:  # (rows * columns, m, m, C) -> (rows * m, columns * m, C)
            grid = tiles.unflatten(0, layout.tile_grid).transpose(1, 2).flatten(2, 3).flatten(0, 1)
            parts.insert(0, self._close_rows(grid))
        return torch.cat(parts)

    def encode_images(self, pixel_values: Pixels) -> list[Tensor]:
        """Each image's tokens (n_tokens, C), in order.

        `pixel_values`: (N, 3, H, W), one view an image, or a list of ImageViews; views of equal size, whichever images
        they belong to, are encoded together.
        """
        if isinstance(pixel_values, Tensor):
            layout = ImageLayout((pixel_values.size(-2), pixel_values.size(-1)))
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
        """Embeddings (B, T, C) of the text, with the pictures' tokens in the places of `<|image|>`, in order.

        Raises UserError when the text has room for another number of tokens than its pictures take.
        """
        embeds = self.gpt.embed(input_ids)
        places = input_ids == self.config.image_token_id  # (B, T)
        row_places = places.sum(1)
        if vision_embeds is not None:
            images = [vision_embeds.reshape(-1, embeds.size(-1))]
            row_places = row_places.sum(0, keepdim=True)  # whose pictures end where is not known
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
        """Loss when `targets` (B, T; -1 ignored) are given, else float32 logits (B, T, V).

        A batch may mix rows with no picture, one or several; `pixel_values` holds all pictures in order of appearance
        (see `encode_images`), or `vision_embeds` their tokens, already encoded: (all tokens, C). Text alone costs no
        vision work. `loss_reduction`: "mean", "sum" or "none", as in `GPT.forward`; `documents`: as in `GPT.hidden`.
        """
        embeds = self.embed(input_ids, pixel_values, vision_embeds)
        return self.gpt(
            targets=targets, kv_cache=kv_cache, loss_reduction=loss_reduction, inputs_embeds=embeds, documents=documents
        )

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
        """Continue (B, T) ids by `max_new_tokens` tokens, the whole text read again for each: (B, T + max_new_tokens).

        The plain way that the KV-cache Engine is checked against; greedy at temperature 0. Never emits `<|image|>`.
        """
        random = torch.Generator(device=input_ids.device).manual_seed(seed)
        vision = None
        if pixel_values is not None and len(pixel_values):
            vision = torch.cat(self.encode_images(pixel_values))
        for _ in range(max_new_tokens):
            hidden = self.gpt.hidden(self.embed(input_ids, None, vision))[:, -1]
            chosen = choose_tokens(self.next_logits(hidden), temperature, top_k, random)
            input_ids = torch.cat([input_ids, chosen[:, None]], dim=1)
        return input_ids

    def next_logits(self, hidden: Tensor, gpt: GPT | None = None) -> Tensor:
        """Logits (B, V) of the token after hidden states (B, C); `<|image|>` is never the answer.

        `gpt`: a copy of the model's own whose head is to be used.
        """
        logits = cap((gpt or self.gpt).lm_head(hidden))
        logits[:, self.config.image_token_id] = -torch.inf
        return logits


def build_nano_deepseek_ocr(
    gpt_config: GPTConfig | None = None, vision_config: VisionConfig | None = None
) -> NanoDeepseekOCR:
    """The model with random weights; d20 (962,362,880 parameters) unless told otherwise; `<|image|>` comes last."""
    gpt = gpt_config or GPTConfig()
    return NanoDeepseekOCR(ModelConfig(vision_config or VisionConfig(), gpt, image_token_id=gpt.vocab_size - 1))
