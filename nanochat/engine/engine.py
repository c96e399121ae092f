"""`Engine`: generation with a KV cache, one pass over the prompt and then one token at a time, many rows together.

`generate` streams several samples of one prompt; `generate_batch` returns the finished answers to many prompts, with a
bounded number of rows at a time. Both use a `Scheduler` (`batching.py`). They encode the images of a prompt once, apply
the output head to the last position only, never generate `<|image|>`, and at temperature 0 produce the tokens of
`NanoDeepseekOCR.generate`.

Length of an answer: at most `max_tokens`, and prompt plus answer at most the length of the rotary tables (ten times
the config's sequence_len). Without `max_tokens`, prompt plus answer are at most sequence_len. `generate_batch` stops an
answer that repeats itself without end (`loops.py`); `generate` does not.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from nanochat.engine.answers import Answer, Generation, Prompt, Sampling
from nanochat.engine.backend import Backend
from nanochat.engine.batching import Scheduler
from nanochat.engine.constraints import Constraint
from nanochat.engine.loading import backend_of
from nanochat.engine.loops import LoopGuard
from nanochat.errors import UserError
from nanochat.image_process import ImageViews, expand_image_tokens
from nanochat.model_config import check_places
from nanochat.tokenizer import RustBPETokenizer

if TYPE_CHECKING:
    from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, Pixels

__all__ = ["Engine", "Generation", "Guard", "Sampling"]


@dataclass(frozen=True)
class Guard:
    """Limits of an answer besides its length: banned tokens, repetition, time."""

    constraints: tuple[Constraint, ...] = ()
    """rules for tokens that must not come next"""
    stop_loops: bool = True
    """stop an answer that repeats itself, and keep only the first copy of what it repeats"""
    rows: int | None = None
    """how many rows of text the page has, if known: more equal rows than that are repetition; None: 100"""
    retry: bool = False
    """continue an answer once from before its repetition, with `NoRepeatNgram` added to the constraints"""
    seconds: float | None = None
    """time limit of the answer, including the time that it waits; None: no limit"""


NO_GUARD = Guard(stop_loops=False)
GREEDY = Sampling()
KEPT_BUSY = 0.75  # share of rows in use up to which further prompts are processed together


def prompts_about(tokenizer: RustBPETokenizer, prompt: str, views: Sequence[ImageViews]) -> list[list[int]]:
    """Token ids that ask the same `prompt`, which has one `<image>`, about each image (given by its views).

    `<|image|>` is repeated for each vision token of the image. Raises UserError if `prompt` has no `<image>`.
    """
    ids = tokenizer.render_for_completion({"messages": [{"role": "user", "content": prompt}], "images": [None]})
    image_token_id = tokenizer.encode_special("<|image|>")
    return [expand_image_tokens(ids, image_token_id, [view.layout.n_tokens]) for view in views]


def conversation_tokens(
    tokenizer: RustBPETokenizer, conversation: dict[str, Any], views: Sequence[ImageViews]
) -> list[int]:
    """Token ids of the prompt for the next answer in a conversation; a final message of the assistant is left out.

    `views`: of each image of the conversation, in order. `<|image|>` is repeated for each vision token of its image.
    Raises UserError if the number of `<image>` placeholders differs from the number of images.
    """
    ids = tokenizer.render_for_completion(conversation)
    return expand_image_tokens(ids, tokenizer.encode_special("<|image|>"), [view.layout.n_tokens for view in views])


class Engine:
    """Generates answers with a model.

    `model`: a NanoDeepseekOCR, or a Backend. `tokenizer`: the tokenizer of the model. The weights must not change
    while the engine is in use.
    """

    def __init__(self, model: "NanoDeepseekOCR | Backend", tokenizer: RustBPETokenizer) -> None:
        self.model: Any = model
        self.end_tokens = {tokenizer.encode_special("<|assistant_end|>"), tokenizer.get_bos_token_id()}
        self.loops = LoopGuard(tokenizer)
        self.copies: dict[Any, Any] = {}
        """dtype -> copy of the GPT with its linear layers in that dtype, for CUDA graphs; created on first use"""

    def scheduler(self, max_rows: int) -> Scheduler:
        """A new, empty Scheduler for this model that generates at most `max_rows` answers at a time."""
        fixed = None
        if getattr(self.model.device, "type", "cpu") == "cuda":
            from nanochat.engine.fixed_step import FixedStep

            fixed = FixedStep(self.model, self.copies)
        return Scheduler(backend_of(self.model), self.end_tokens, max_rows, fixed)

    def prompt(
        self,
        tokens: list[int],
        images: Sequence[ImageViews],
        max_tokens: int | None,
        samplings: Sequence[Sampling],
        guard: Guard,
    ) -> Prompt:
        """A Prompt to submit to a scheduler, with one answer for each of `samplings`.

        `tokens`: ids of the prompt, with `<|image|>` repeated for each vision token of `images`.
        Raises UserError if the prompt is empty or leaves no room for an answer, or if its number of `<|image|>` tokens
        does not match the images.
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
        """Yield a Prompt for each of `prompts`, in `order` (indices; default: as given).

        Each is created only when the iterator reaches it, so that its time limit starts then. `pixel_values`: images of
        all prompts, in the order of `prompts`. `guard`: one for all prompts, or one for each. Raises UserError as
        `prompt` does.
        """
        guards = [guard] * len(prompts) if isinstance(guard, Guard) else guard
        divided = self._divide(prompts, self._views(pixel_values))
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
        """Generate `num_samples` answers to one prompt. Yields (next token of each answer, masks) for each step.

        A mask is 1 if the token was generated in this step, and 0 if the answer had ended before; then its last token
        is repeated until all answers have ended. The token that ends an answer (`<|assistant_end|>` or `<|bos|>`) is
        yielded once with mask 1. Answer i is sampled with seed + i. Raises UserError as `prompt` does, or for a
        temperature or top_k that is out of range.
        """
        samplings = [Sampling(temperature, top_k, seed + i) for i in range(num_samples)]
        prompt = self.prompt(tokens, self._views(pixel_values), max_tokens, samplings, NO_GUARD)
        scheduler = self.scheduler(num_samples)
        scheduler.submit(prompt)
        lengths = [0] * num_samples
        while scheduler.busy:
            scheduler.step()
            before, lengths = lengths, [len(answer.generation.probabilities) for answer in prompt.answers]
            if lengths != before:
                yield [answer.last for answer in prompt.answers], [b - a for a, b in zip(before, lengths)]

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
        """The finished answer to each prompt, in order.

        `pixel_values`: images of all prompts, in order, as in `NanoDeepseekOCR.forward`. `guard`: one for all prompts,
        or one for each. Raises UserError for an empty prompt, one that leaves no room for an answer, or one whose
        number of `<|image|>` tokens does not match its images.

        `at_once`: most answers generated at a time (default: all). When one ends, the next prompt starts, and with it
        its time limit. `again`: the images were read before and are read a second time. This engine ignores it; the
        server's worker does not stream such answers to the client.
        """
        # Longest first: images of one size are encoded together, and no long answer runs alone at the end.
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True)
        made = self.make_prompts(prompts, pixel_values, max_tokens, [sampling], guard, order)
        at_once = at_once or max(1, len(prompts))
        scheduler, answers = self.scheduler(at_once), list[Generation]()
        while scheduler.busy or len(answers) < len(prompts):
            most, rows = scheduler.max_rows, len(scheduler.rows)
            if rows <= most * KEPT_BUSY:
                for prompt in islice(made, max(0, most - rows - len(scheduler.waiting))):
                    answers.append(prompt.answers[0].generation)
                    scheduler.submit(prompt)
                scheduler.fill_up()
            scheduler.decode()
        return [answer for _, answer in sorted(zip(order, answers), key=lambda pair: pair[0])]

    def _divide(self, prompts: list[list[int]], images: Sequence[ImageViews]) -> list[list[ImageViews]]:
        """Split the images among the prompts by their counts of `<|image|>`. Raises UserError if they do not match."""
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
        """(most tokens of the answer to `prompt`; why it stops there: `length` or `context`), for `Answer.limit`.

        Raises UserError if the prompt is empty or leaves no room, or if max_tokens is below 1.
        """
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

    def _views(self, pixel_values: "Pixels | None") -> Sequence[ImageViews]:
        """Images as a list of their views. A tensor (N, 3, H, W) is N images of one view each."""
        if pixel_values is None:
            return []
        if isinstance(pixel_values, Sequence):
            return pixel_values
        layout = self.model.config.vision.layout
        return [ImageViews(layout(v.shape[-2], v.shape[-1]), v) for v in pixel_values]
