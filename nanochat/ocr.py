"""Reading pages with a trained model: what the command line, the demo and a Python program share."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from nanochat.checkpoint import load_model
from nanochat.common import autodetect_device_type
from nanochat.engine import Engine
from nanochat.image_process import expand_image_tokens, open_image, view_function
from nanochat.machine import choose_precision

PROMPT = "<image>\nFree OCR."


@dataclass
class Page:
    """What was read from one picture."""

    text: str
    vision_tokens: int
    tokens: int
    """generated"""
    seconds: float
    stopped: str
    """end: the model ended; length or context: it was cut"""


class OCR:
    """A model ready to read: `OCR("checkpoints/step_100.pt").read("receipt.png").text`."""

    def __init__(self, checkpoint: str | Path, device: str = "") -> None:
        self.device = torch.device(device or autodetect_device_type())
        self.model, self.tokenizer, self.meta = load_model(checkpoint, self.device)
        self.precision = choose_precision("auto" if self.device.type == "cuda" else "float32", self.device)
        self.engine = Engine(self.model, self.tokenizer)
        vision = self.model.config.vision
        self.view = view_function(vision.view, vision.image_size, vision.page)

    def read(
        self, picture: str | Path | bytes | Image.Image, prompt: str = PROMPT, max_tokens: int | None = None
    ) -> Page:
        """Read one picture. Raises UserError when it cannot be opened, or the prompt has not one `<image>`."""
        return next(self.read_many([open_image(picture)], prompt, max_tokens))

    def read_many(
        self, pictures: Sequence[Image.Image], prompt: str = PROMPT, max_tokens: int | None = None
    ) -> Iterator[Page]:
        """Read pictures one after the other."""
        image_token_id = self.tokenizer.encode_special("<|image|>")
        message = {"role": "user", "content": prompt}
        for picture in pictures:
            started = time.perf_counter()
            ids = self.tokenizer.render_for_completion({"messages": [message], "images": [picture]})
            views = self.view(picture)
            tokens = expand_image_tokens(ids, image_token_id, [views.layout.n_tokens])
            with self.precision.autocast(self.device):
                (answer,) = self.engine.generate_batch([tokens], [views.to(self.device)], max_tokens)
            yield Page(
                text=self.tokenizer.decode(answer.tokens),
                vision_tokens=views.layout.n_tokens,
                tokens=len(answer.tokens),
                seconds=time.perf_counter() - started,
                stopped=answer.stopped or "end",
            )
