"""The processor for transformers: prompts to token ids, images to pixel values, and pages cut into lines."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import BatchFeature, ProcessorMixin
from transformers.generation.utils import GenerateDecoderOnlyOutput
from transformers.image_utils import load_image, to_numpy_array
from transformers.utils import cached_file

from nanochat.errors import UserError
from nanochat.image_process import open_image, show, to_rgb
from nanochat.lines.cut import HEIGHT, Piece, join, show_in_lines
from nanochat.lines.finder import line_finder
from nanochat.lines.layout import find_lines
from nanochat.modes import TOKEN_SIZE, get_mode

FINDER = "line_finder.safetensors"  # weights of the line detector, in the same folder as those of the model
PLACEHOLDER, TOKEN = "<image>", "<|image|>"
# The layout of `tokenizer.py`. An image that is given apart from the text comes before it, on its own line.
CHAT_TEMPLATE = """<|bos|>{% set system = namespace(text='') %}{% for message in messages %}
{%- set body = namespace(text='') %}
{%- if message.content is string %}{% set body.text = message.content %}
{%- else %}{% for part in message.content %}
{%- if part.type == 'text' %}{% set body.text = body.text + part.text %}
{%- else %}{% set body.text = body.text + '<image>\n' %}{% endif %}{% endfor %}{% endif %}
{%- if message.role == 'system' %}{% set system.text = body.text + '\n\n' %}
{%- else %}{{ '<|' + message.role + '_start|>' + system.text + body.text + '<|' + message.role + '_end|>' }}
{%- set system.text = '' %}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|assistant_start|>' }}{% endif %}"""


class NanoDeepseekOcrProcessor(ProcessorMixin):
    """Prepares prompts and images for the model.

    `view`, `image_size`, `page`, `token_size`: how the model sees a page, as in `VisionConfig`. `lines`: whether the
    model reads images of single lines. `least_sure`: lines that it reads with a lower mean probability are left out.
    """

    attributes = ("tokenizer",)
    tokenizer_class = "AutoTokenizer"

    def __init__(
        self, tokenizer: Any, view: str = "square", image_size: int = 1024, page: int = 1024, lines: bool = False,
        least_sure: float = 0.0, token_size: Sequence[int] = TOKEN_SIZE,
        chat_template: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.view, self.image_size, self.page = view, image_size, page
        self.lines, self.least_sure, self.token_size = lines, least_sure, (token_size[0], token_size[1])
        super().__init__(tokenizer, chat_template=chat_template or CHAT_TEMPLATE)

    def __call__(self, images: Any = None, text: str | list[str] = "", **kwargs: Any) -> BatchFeature:
        """Returns `input_ids` and `attention_mask`, (B, T), and for images `pixel_values` and `image_sizes`.

        `images`: paths, URLs, Pillow images, arrays or tensors. `text`: prompts with `<image>` for each image; a text
        that is not a complete conversation becomes a user message. Rows are padded on the left. `pixel_values` is
        float32 (N, 3, H, W), `image_sizes` int64 (N, 2), height and width. Raises UserError if the number of images
        differs from that of `<image>`, or if the model reads single lines and an image has several.
        """
        mode = get_mode(self.view, self.page, image_size=self.image_size, token_size=self.token_size)
        shown = [show(_picture(picture), mode) for picture in _flat(images)]
        if any(view.tiles is not None for view in shown):
            raise UserError(f"view {self.view!r} cuts pages into tiles, which only nano-ocr does")
        if self.lines and any(view.layout.view[0] > HEIGHT for view in shown):
            raise UserError(
                "this model reads single lines, and an image is taller than a line: cut the page with "
                "processor.cut_page, and put the answers together with processor.join_pieces"
            )
        prompts = [text] if isinstance(text, str) else list(text)
        places = sum(prompt.count(PLACEHOLDER) for prompt in prompts)
        if places != len(shown):
            raise UserError(f"{len(shown)} images, but {places} {PLACEHOLDER} in the text: write one for each image")
        counts = iter([view.layout.n_tokens for view in shown])
        prompts = [_expanded(prompt, counts) for prompt in prompts]
        found = self.tokenizer(
            prompts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt",
            return_token_type_ids=False,
        )  # fmt: skip
        data = dict(found)
        if shown:
            sizes = torch.tensor([view.layout.view for view in shown])
            height, width = sizes.amax(0).tolist()
            data["pixel_values"] = torch.zeros(len(shown), 3, height, width)
            for pixels, view in zip(data["pixel_values"], shown):
                pixels[:, : view.view.shape[1], : view.view.shape[2]] = view.view
            data["image_sizes"] = sizes
        return BatchFeature(data)

    def save_pretrained(self, save_directory: Any, *arguments: Any, **options: Any) -> Any:
        """Save the processor, and, for a model that reads lines, the line detector."""
        saved = super().save_pretrained(save_directory, *arguments, **options)
        if self.lines:
            shutil.copyfile(self._finder(), Path(save_directory) / FINDER)
        return saved

    def _finder(self) -> Path:
        """Path of the weights of the line detector."""
        return Path(str(cached_file(self.tokenizer.name_or_path, FINDER)))

    def cut_page(self, picture: Any) -> list[Piece]:
        """Cut a page into lines of text, or parts of lines, in reading order.

        Of each piece, `picture` is the image for the model, `row` the number of its line, and `box` its box in pixels
        of the page. A page without lines is returned as one piece.
        """
        page = to_rgb(_picture(picture))
        return show_in_lines(page, find_lines(page, line_finder(self._finder())), self.image_size)

    def join_pieces(self, found: GenerateDecoderOnlyOutput, pieces: list[Piece]) -> str:
        """The text of a page, from the answers to its pieces. Answers below `least_sure` are left out.

        `found`: the result of `model.generate` with `return_dict_in_generate=True, output_logits=True`. Raises
        UserError if it has no logits.
        """
        steps = getattr(found, "logits", None)
        if steps is None:
            raise UserError("call generate with return_dict_in_generate=True and output_logits=True")
        logits = torch.stack(steps, 1).float()  # (pieces, T, V)
        tokens = found.sequences[:, -logits.size(1) :]  # (pieces, T)
        ends = torch.tensor([self.tokenizer.bos_token_id, self.tokenizer.eos_token_id], device=tokens.device)
        ended = torch.isin(tokens, ends).cumsum(1)
        own = (ended - torch.isin(tokens, ends).long()) == 0  # the end token counts, the padding after it does not
        probabilities = logits.softmax(-1).gather(2, tokens[..., None])[..., 0] * own
        sure = probabilities.sum(1) / own.sum(1) >= self.least_sure
        texts = self.tokenizer.batch_decode([row[~end] for row, end in zip(tokens, ended.bool())])
        return join([text if kept else "" for text, kept in zip(texts, sure.tolist())], pieces)

    @property
    def model_input_names(self) -> list[str]:
        return ["input_ids", "attention_mask", "pixel_values", "image_sizes"]


def _expanded(prompt: str, counts: Any) -> str:
    """A prompt as a complete conversation, with `<|image|>` for each vision token of its images.

    `counts`: iterator over the numbers of vision tokens.
    """
    if not prompt.startswith("<|bos|>"):
        prompt = f"<|bos|><|user_start|>{prompt}<|user_end|><|assistant_start|>"
    first, *rest = prompt.split(PLACEHOLDER)
    return first + "".join(TOKEN * next(counts) + piece for piece in rest)


def _flat(images: Any) -> list[Any]:
    """All images in nested lists, or in an array with a batch dimension, in order."""
    if images is None:
        return []
    if isinstance(images, list | tuple) or getattr(images, "ndim", 0) == 4:
        return [picture for some in images for picture in _flat(some)]
    return [images]


def _picture(picture: Any) -> Image.Image:
    """An image as a Pillow image, from any type that transformers accepts: path, URL, Pillow image, array, tensor."""
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, str | Path):
        picture = str(picture)
        return open_image(picture) if Path(picture).is_file() else load_image(picture)
    pixels = to_numpy_array(picture)
    return Image.fromarray(pixels if pixels.shape[-1] in (3, 4) or pixels.ndim == 2 else pixels.transpose(1, 2, 0))
