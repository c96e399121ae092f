"""Reading on from a prompt: one pass over it, then one token at a time with a KV cache, many rows together.

`generate` streams several samples of one prompt, `stream_batch` the answers to many prompts, `generate_batch` waits
for them, where there are many a bounded number at a time; all three are a `Scheduler` (`batching.py`) with something
to do. They read the prompt's pictures once, send the last position alone through the head, never emit `<|image|>`, and
at temperature 0 give the tokens of `NanoDeepseekOCR.generate`.

How far a row may go: `max_tokens` further tokens, as long as the rotary tables (ten times the config's sequence_len)
reach; without `max_tokens`, to sequence_len, the longest text that the model was made for. An answer that repeats
itself without end is stopped (`loops.py`), but not in `generate`, which is the model as it is.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from nanochat.engine.backend import Backend
from nanochat.engine.batching import Answer, Generation, Prompt, Sampling, Scheduler
from nanochat.engine.constraints import Constraint
from nanochat.engine.loops import LoopGuard
from nanochat.errors import UserError
from nanochat.image_process import ImageViews, expand_image_tokens
from nanochat.model_config import check_places
from nanochat.modes import ImageLayout
from nanochat.tokenizer import RustBPETokenizer

if TYPE_CHECKING:
    from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, Pixels

__all__ = ["Engine", "Generation", "Guard", "Sampling"]


@dataclass(frozen=True)
class Guard:
    """What an answer may not say, and what ends it besides the model and the room."""

    constraints: tuple[Constraint, ...] = ()
    stop_loops: bool = True
    """stop an answer that repeats itself, and keep the text before the loop"""
    rows: int | None = None
    """how many rows of text the page has, where that is known: more equal rows than these are a loop"""
    retry: bool = False
    """after a loop, go on once from the text before it, without repeated runs of 30 tokens"""
    seconds: float | None = None
    """time for the whole answer, waiting included"""


NO_GUARD = Guard(stop_loops=False)
GREEDY = Sampling()
KEPT_BUSY = 0.75  # of the rows that may grow together; under it new prompts are read, several in one pass


def prompts_about(tokenizer: RustBPETokenizer, prompt: str, views: Sequence[ImageViews]) -> list[list[int]]:
    """The tokens that ask `prompt`, which has one `<image>`, about each picture, with room for its vision tokens."""
    ids = tokenizer.render_for_completion({"messages": [{"role": "user", "content": prompt}], "images": [None]})
    image_token_id = tokenizer.encode_special("<|image|>")
    return [expand_image_tokens(ids, image_token_id, [view.layout.n_tokens]) for view in views]


class Engine:
    """Generates with a model and its tokenizer, which says which tokens end an answer."""

    def __init__(self, model: "NanoDeepseekOCR | Backend", tokenizer: RustBPETokenizer) -> None:
        self.model: Any = model
        self.end_tokens = {tokenizer.encode_special("<|assistant_end|>"), tokenizer.get_bos_token_id()}
        self.loops = LoopGuard(tokenizer)
        self.copies: dict[Any, Any] = {}
        """of the GPT in other dtypes, made when they are first wanted: the weights must not change any more"""

    def scheduler(self, max_rows: int) -> Scheduler:
        """An empty batch of this model, with room for `max_rows` answers at a time."""
        fixed = None
        if getattr(self.model.device, "type", "cpu") == "cuda":
            from nanochat.engine.fixed_step import FixedStep

            fixed = FixedStep(self.model, self.copies)
        return Scheduler(self.model, self.end_tokens, max_rows, fixed)

    def prompt(
        self,
        tokens: list[int],
        images: Sequence[ImageViews],
        max_tokens: int | None,
        samplings: Sequence[Sampling],
        guard: Guard,
    ) -> Prompt:
        """A prompt for a scheduler, with an answer to come for each of `samplings`.

        Raises UserError when it is empty, leaves no room for an answer, or has other pictures than places for them.
        """
        limit = self._limit(tokens, max_tokens)
        check_places([tokens.count(self.model.config.image_token_id)], [image.layout.n_tokens for image in images])
        deadline = None if guard.seconds is None else time.monotonic() + guard.seconds
        watches = [self.loops.watch(guard.rows) if guard.stop_loops else None for _ in samplings]
        return Prompt(
            tokens,
            images,
            [
                Answer(limit, sampling, guard.constraints, watch, guard.retry, deadline)
                for sampling, watch in zip(samplings, watches)
            ],
        )

    def make_prompts(
        self,
        prompts: list[list[int]],
        pixel_values: "Pixels | None",
        max_tokens: int | None,
        samplings: Sequence[Sampling],
        guard: Guard | Sequence[Guard],
        order: Sequence[int] | None = None,
    ) -> Iterator[Prompt]:
        """Several prompts, whose pictures come one after the other, in `order`, each made when it is asked for: its
        time begins then. Raises UserError as `prompt` does."""
        guards = [guard] * len(prompts) if isinstance(guard, Guard) else guard
        divided = self._divide(prompts, _views(pixel_values))
        for i in range(len(prompts)) if order is None else order:
            yield self.prompt(prompts[i], divided[i], max_tokens, samplings, guards[i])

    def generate(
        self,
        tokens: list[int],
        pixel_values: "Pixels | None" = None,
        num_samples: int = 1,
        max_tokens: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 42,
    ) -> Iterator[tuple[list[int], list[int]]]:
        """Yield (token column, masks) for each step: the next token of each of `num_samples` answers to one prompt.

        Mask 1: the token was drawn; 0: it was not, because the row has ended and repeats its last token until all have.
        The token that ends a row (`<|assistant_end|>` or `<|bos|>`) is yielded, once with mask 1. Sample i is drawn
        from seed + i.
        """
        samplings = [Sampling(temperature, top_k, seed + i) for i in range(num_samples)]
        prompt = self.prompt(tokens, _views(pixel_values), max_tokens, samplings, NO_GUARD)
        scheduler = self.scheduler(num_samples)
        scheduler.submit(prompt)
        live = [1] * num_samples
        while scheduler.busy:
            if scheduler.step():
                yield [answer.last for answer in prompt.answers], live
                live = [int(answer.generation.stopped is None) for answer in prompt.answers]

    def stream_batch(
        self,
        prompts: list[list[int]],
        pixel_values: "Pixels | None" = None,
        max_tokens: int | None = None,
        sampling: Sampling = GREEDY,
        guard: Guard | Sequence[Guard] = Guard(),
    ) -> Iterator[list[Generation]]:
        """Answer prompts of different lengths together; yield the answers, the same growing objects, after each step.

        `pixel_values` holds the pictures of all prompts in order, as in `NanoDeepseekOCR.forward`; `guard` may be one
        for each prompt. A row that has ended leaves the batch; one that looped steps back. Raises UserError for an
        empty prompt or one that leaves no room for an answer.
        """
        if not prompts:
            return
        rows = list(self.make_prompts(prompts, pixel_values, max_tokens, [sampling], guard))
        scheduler = self.scheduler(len(prompts))
        for row in rows:
            scheduler.submit(row)
        answers = [row.answers[0].generation for row in rows]
        while scheduler.reading:
            scheduler.fill()
        yield answers
        while scheduler.busy:
            scheduler.decode()
            yield answers

    def generate_batch(
        self,
        prompts: list[list[int]],
        pixel_values: "Pixels | None" = None,
        max_tokens: int | None = None,
        sampling: Sampling = GREEDY,
        guard: Guard | Sequence[Guard] = Guard(),
        at_once: int | None = None,
        again: bool = False,
    ) -> list[Generation]:
        """The finished answers of `stream_batch`, one for each prompt, in order.

        `at_once`: how many grow together at most; as some end the next begin, and so does the time of their guards.
        `again`: what is read was read before; an engine that tells how answers grow keeps these to itself.
        """
        # Longest first: pictures of one size are encoded together, and no long answer is left to grow alone at the end.
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True)
        made = self.make_prompts(prompts, pixel_values, max_tokens, [sampling], guard, order)
        at_once = at_once or max(1, len(prompts))
        scheduler, answers = self.scheduler(at_once), list[Generation]()
        while scheduler.busy or len(answers) < len(prompts):
            if len(scheduler.rows) <= at_once * KEPT_BUSY:
                for prompt in islice(made, at_once - len(scheduler.rows)):
                    answers.append(prompt.answers[0].generation)
                    scheduler.submit(prompt)
            while scheduler.reading:
                scheduler.fill()
            scheduler.decode()
        return [answer for _, answer in sorted(zip(order, answers), key=lambda pair: pair[0])]

    def _divide(self, prompts: list[list[int]], images: Sequence[ImageViews]) -> list[list[ImageViews]]:
        """Which of the pictures belong to each prompt. Raises UserError where its image tokens are not theirs."""
        places = [prompt.count(self.model.config.image_token_id) for prompt in prompts]
        check_places(places, [image.layout.n_tokens for image in images])
        remaining, divided = iter(images), []
        for left in places:
            own: list[ImageViews] = []
            while left:
                own.append(next(remaining))
                left -= own[-1].layout.n_tokens
            divided.append(own)
        return divided

    def _limit(self, prompt: list[int], max_tokens: int | None) -> tuple[int, str]:
        """How many tokens may follow a prompt, and what it is that stops them there: `length` or `context`."""
        config = self.model.config.gpt
        reach = config.reach
        if not prompt:
            raise UserError("an empty prompt: give at least one token")
        if max_tokens is None:
            if len(prompt) >= config.sequence_len:
                raise UserError(
                    f"the prompt has {len(prompt)} tokens, but the model supports {config.sequence_len}: shorten it,"
                    " or give max_tokens to go further"
                )
            return config.sequence_len - len(prompt), "context"
        if max_tokens < 1:
            raise UserError(f"max_tokens {max_tokens}: give at least 1")
        if len(prompt) >= reach:
            raise UserError(f"the prompt has {len(prompt)} tokens, but the model supports {reach}: shorten it")
        room = reach - len(prompt)
        return (max_tokens, "length") if max_tokens <= room else (room, "context")


def _views(pixel_values: "Pixels | None") -> Sequence[ImageViews]:
    """Pictures as a list of views; a tensor (N, 3, H, W) is one view an image."""
    if pixel_values is None:
        return []
    if isinstance(pixel_values, Sequence):
        return pixel_values
    return [ImageViews(ImageLayout((view.shape[-2], view.shape[-1])), view) for view in pixel_values]
