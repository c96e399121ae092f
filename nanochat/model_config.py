"""The sizes of the model and its parts, and the named presets. Does not import torch."""

from dataclasses import asdict, dataclass, field
from typing import Any

from nanochat.errors import UserError
from nanochat.modes import ImageLayout, Mode, get_mode


@dataclass
class SAMConfig:
    """Sizes of SAM and its compressor; the defaults are facebook/sam-vit-base's."""

    grid: int = 64
    """side, in patches, of the square that the position tables are made for"""
    patch_size: int = 16
    """side of a patch in pixels"""
    width: int = 768
    """channels of the transformer"""
    n_layer: int = 12
    """number of blocks"""
    n_head: int = 12
    """number of attention heads"""
    global_layers: tuple[int, ...] = (2, 5, 8, 11)
    """blocks that attend over the whole grid; the others stay within windows"""
    window: int = 14
    """side of a window in patches"""
    neck: int = 256
    """channels of the neck"""
    out_channels: tuple[int, int] = (512, 1024)
    """channels after each of the compressor's convolutions"""
    last_stride: tuple[int, int] = (2, 2)
    """stride of the compressor's second convolution, down and across: it determines the shape of a vision token"""
    crop_positions: bool = False
    """whether smaller images use a corner of the position tables; otherwise the tables are interpolated"""

    def __post_init__(self) -> None:
        self.global_layers = tuple(self.global_layers)  # a list, when it comes from JSON
        first, second = self.out_channels
        self.out_channels = (first, second)
        down, across = self.last_stride
        self.last_stride = (down, across)
        if self.width % self.n_head:
            raise ValueError(f"SAM: width {self.width} is not a multiple of its {self.n_head} heads")


@dataclass
class CLIPConfig:
    """Sizes of CLIP; the defaults are openai/clip-vit-large-patch14's."""

    grid: int = 16
    """side, in positions, of the square that the position table is made for"""
    width: int = 1024
    """channels; SAM's last out_channels must equal it"""
    n_layer: int = 24
    """number of blocks"""
    n_head: int = 16
    """number of attention heads"""
    patch_size: int = 14
    """side of the unused patch embedding's patches; 0 leaves it out"""
    crop_positions: bool = False
    """whether smaller images use a corner of the position tables; otherwise the tables are interpolated"""

    def __post_init__(self) -> None:
        if self.width % self.n_head:
            raise ValueError(f"CLIP: width {self.width} is not a multiple of its {self.n_head} heads")


@dataclass
class VisionConfig:
    """Sizes of both encoders; the defaults are DeepSeek-OCR's."""

    sam: SAMConfig = field(default_factory=SAMConfig)
    clip: CLIPConfig = field(default_factory=CLIPConfig)
    image_size: int = 1024
    """side in pixels of a whole page"""
    view: str = "square"
    """how a page is shown: `square`, padded to a square of image_size; `native`, in its own shape with no side longer
    than image_size; or the name of a mode (`modes.py`)"""

    def __post_init__(self) -> None:
        if self.sam.out_channels[-1] != self.clip.width:
            raise ValueError(f"SAM gives {self.sam.out_channels[-1]} channels, CLIP takes {self.clip.width}")

    @property
    def page(self) -> int:
        """Side in pixels of the page that the position tables were made for: 1024 for d20, 512 for nano."""
        return self.sam.grid * self.sam.patch_size

    @property
    def token_size(self) -> tuple[int, int]:
        """Height and width in pixels of the part of a view that one vision token shows: (64, 64) by default."""
        down, across = self.sam.last_stride
        return 2 * self.sam.patch_size * down, 2 * self.sam.patch_size * across

    def mode(self, name: str = "", max_tokens: int | None = None) -> Mode:
        """The mode called `name` for this model; by default its own view.

        `max_tokens`: most vision tokens of one image in mode native. Raises UserError as `get_mode` does.
        """
        name = name or self.view
        return get_mode(name, self.page, max_tokens, image_size=self.image_size, token_size=self.token_size)

    def layout(self, height: int, width: int) -> ImageLayout:
        """The tokens of one view of this size in pixels. Raises UserError unless both are multiples of 64."""
        return ImageLayout((height, width), token_size=self.token_size)


@dataclass
class GPTConfig:
    """Sizes of the GPT; the defaults are those of d20. Raises ValueError if they contradict each other."""

    sequence_len: int = 4096
    """longest sequence of the training recipe; rotary tables cover ten times as much"""
    vocab_size: int = 65_537
    """tokens, `<|image|>` included"""
    n_layer: int = 20
    """blocks"""
    n_head: int = 10
    """query heads"""
    n_kv_head: int = 10
    """key and value heads (fewer than n_head: grouped queries)"""
    n_embd: int = 1280
    """width"""
    line_stride: int = 0
    """if not 0, tokens have a column and a line as positions, and lines are this far apart (`positions.py`)"""
    line_tokens: tuple[int, int] = (-1, -1)
    """with `line_stride`: the ids of `<|assistant_start|>` and of the newline"""

    def __post_init__(self) -> None:
        if self.n_embd % self.n_head or (self.n_embd // self.n_head) % 2:
            raise ValueError(f"n_embd {self.n_embd} does not divide into {self.n_head} heads of an even width")
        if self.n_head % self.n_kv_head:
            raise ValueError(f"{self.n_head} query heads do not divide among {self.n_kv_head} key-value heads")
        answer, newline = self.line_tokens
        self.line_tokens = (answer, newline)  # a list, when it comes from JSON
        if self.line_stride and not (0 <= answer < self.vocab_size and 0 <= newline < self.vocab_size):
            raise ValueError(f"line_stride needs two line_tokens of the vocabulary, not {self.line_tokens}")

    @property
    def reach(self) -> int:
        """Number of positions of the rotary tables."""
        return 10 * self.sequence_len


@dataclass
class ModelConfig:
    """The complete configuration of a model; the defaults are those of d20."""

    vision: VisionConfig = field(default_factory=VisionConfig)
    gpt: GPTConfig = field(default_factory=GPTConfig)
    image_token_id: int = 65_536
    """id of `<|image|>`, the last of the vocabulary"""

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "ModelConfig":
        """The inverse of `to_dict`, also after conversion to JSON and back."""
        sam: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values["vision"]["sam"].items()}
        vision = {**values["vision"], "sam": SAMConfig(**sam), "clip": CLIPConfig(**values["vision"]["clip"])}
        return cls(VisionConfig(**vision), GPTConfig(**values["gpt"]), values["image_token_id"])


def nano_config() -> ModelConfig:
    """About 10 M parameters: the same classes with smaller numbers, characters as tokens, pages of 512 x 512 pixels."""
    sam = SAMConfig(
        grid=32, width=192, n_layer=6, n_head=3, global_layers=(2, 5), window=8, neck=192, out_channels=(256, 320),
        crop_positions=True,
    )  # fmt: skip
    clip = CLIPConfig(grid=8, width=320, n_layer=2, n_head=5, patch_size=0, crop_positions=True)
    gpt = GPTConfig(sequence_len=1024, vocab_size=648, n_layer=4, n_head=8, n_kv_head=8, n_embd=256)
    return ModelConfig(VisionConfig(sam, clip, image_size=512, view="native"), gpt, image_token_id=265)


def nano_pages_config() -> ModelConfig:
    """nano for whole pages: its vision tokens show 32 x 64 pixels instead of 64 x 64, so that each holds one line.

    Two lines in one token are hardly told apart (dev/LOG.md). A page of 512 x 512 pixels takes 145 tokens, not 73.
    """
    config = nano_config()
    config.vision.sam.last_stride = (1, 2)
    config.vision.clip.grid = 16  # a page has 16 rows of 8 tokens
    return config


PRESETS = {"d20": ModelConfig, "nano": nano_config, "nano-pages": nano_pages_config}


def preset(name: str) -> ModelConfig:
    """The configuration of a named size. Raises UserError for an unknown name."""
    if name not in PRESETS:
        raise UserError(f"no model called {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]()


def check_places(row_places: list[int], image_tokens: list[int]) -> None:
    """Raise UserError unless the image tokens of each row are those of whole images in order, without a rest."""
    if sum(row_places) != sum(image_tokens):
        raise UserError(f"the text has {sum(row_places)} image tokens, its pictures take {sum(image_tokens)}")
    remaining = iter(image_tokens)
    for row, places in enumerate(row_places):
        taken = 0
        while taken < places:
            taken += next(remaining)
        if taken > places:
            raise UserError(f"row {row} of the batch has {places} image tokens, its pictures take {taken}")
