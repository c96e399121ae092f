"""Reading on from a prompt: one pass over it, then one token at a time with a KV cache, many rows together.

`generate` streams several samples of one prompt, `stream_batch` the answers to many prompts, `generate_batch` waits
for them. All three read the prompt's pictures once, send the last position alone through the head, never emit
`<|image|>`, and at temperature 0 give the tokens of `NanoDeepseekOCR.generate`.

How far a row may go: `max_tokens` further tokens, as long as the rotary tables (ten times the config's sequence_len)
reach; without `max_tokens`, to sequence_len, the longest text that the model was made for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nanochat.common import UserError
from nanochat.gpt import KVCache
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, Pixels, choose_tokens
from nanochat.tokenizer import RustBPETokenizer


@dataclass
class Generation:
    """What the model answered to one prompt; grows while it is streamed."""

    tokens: list[int] = field(default_factory=list)
    """the answer, without the token that ended it"""
    probabilities: list[float] = field(default_factory=list)
    """what the model gave each choice, whatever the temperature; one more than `tokens` when the model ended it"""
    stopped: str | None = None
    """None while it grows; `end`: the model ended it; `length`: it has max_tokens; `context`: there is no more room"""

    @property
    def mean_probability(self) -> float:
        """How sure the model was on average of its choices, the ending included."""
        return sum(self.probabilities) / len(self.probabilities)

    @property
    def min_probability(self) -> float:
        """How sure the model was of its least sure choice."""
        return min(self.probabilities)


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Raises UserError for values that have no meaning."""

    temperature: float = 0.0
    """0: the likeliest token; above: drawn, the flatter the higher"""
    top_k: int | None = None
    """draw among this many likeliest tokens"""
    seed: int = 42
    """equal seeds draw equal tokens for an equal batch"""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature {self.temperature}: give 0 (the likeliest token) or a positive number")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k {self.top_k}: give at least 1, or none to draw among all tokens")


class Engine:
    """Generates with a model and its tokenizer, which says which tokens end an answer."""

    def __init__(self, model: NanoDeepseekOCR, tokenizer: RustBPETokenizer) -> None:
        self.model = model
        self.pad = tokenizer.get_bos_token_id()
        self.end_tokens = {tokenizer.encode_special("<|assistant_end|>"), tokenizer.get_bos_token_id()}

    @torch.inference_mode()
    def generate(
        self,
        tokens: list[int],
        pixel_values: Pixels | None = None,
        num_samples: int = 1,
        max_tokens: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 42,
    ) -> Iterator[tuple[list[int], list[int]]]:
        """Yield (token column, masks) for each step: the next token of each of `num_samples` answers to one prompt.

        Mask 1: the token was drawn; 0: it was not, because the row has ended and repeats its last token until all have.
        The token that ends a row (`<|assistant_end|>` or `<|bos|>`) is yielded, once with mask 1.
        """
        limit, sampling = self._limit(tokens, max_tokens), Sampling(temperature, top_k, seed)
        logits, cache = self._prefill([tokens], pixel_values)
        cache.select([0] * num_samples)
        rows, column = [Generation() for _ in range(num_samples)], [self.pad] * num_samples
        for choices in self._decode(logits.repeat(num_samples, 1), cache, rows, [limit] * num_samples, sampling):
            column = [choices.get(row, last) for row, last in enumerate(column)]
            yield column, [int(row in choices) for row in range(num_samples)]

    @torch.inference_mode()
    def stream_batch(
        self,
        prompts: list[list[int]],
        pixel_values: Pixels | None = None,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        top_k: int | None = None,
        seed: int = 42,
    ) -> Iterator[list[Generation]]:
        """Answer prompts of different lengths together; yield the answers, the same growing objects, after each step.

        `pixel_values` holds the pictures of all prompts in order, as in `NanoDeepseekOCR.forward`. A row that has ended
        leaves the batch. Raises UserError for an empty prompt or one that leaves no room for an answer.
        """
        if not prompts:
            return
        limits = [self._limit(prompt, max_tokens) for prompt in prompts]
        sampling = Sampling(temperature, top_k, seed)
        logits, cache = self._prefill(prompts, pixel_values)
        rows = [Generation() for _ in prompts]
        for _ in self._decode(logits, cache, rows, limits, sampling):
            yield rows

    def generate_batch(
        self,
        prompts: list[list[int]],
        pixel_values: Pixels | None = None,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        top_k: int | None = None,
        seed: int = 42,
    ) -> list[Generation]:
        """The finished answers of `stream_batch`, one for each prompt, in order."""
        rows: list[Generation] = []
        for answers in self.stream_batch(prompts, pixel_values, max_tokens, temperature, top_k, seed):
            rows = answers
        return rows

    def _limit(self, prompt: list[int], max_tokens: int | None) -> tuple[int, str]:
        """How many tokens may follow a prompt, and what it is that stops them there: `length` or `context`."""
        config, reach = self.model.config.gpt, len(self.model.gpt.cos)
        if not prompt:
            raise UserError("an empty prompt: give at least one token")
        if max_tokens is None:
            if len(prompt) >= config.sequence_len:
                raise UserError(
                    f"the prompt has {len(prompt)} tokens and the model was made for {config.sequence_len}: shorten it,"
                    " or give max_tokens to go further"
                )
            return config.sequence_len - len(prompt), "context"
        if max_tokens < 1:
            raise UserError(f"max_tokens {max_tokens}: give at least 1")
        if len(prompt) >= reach:
            raise UserError(f"the prompt has {len(prompt)} tokens and the model reaches {reach}: shorten it")
        room = reach - len(prompt)
        return (max_tokens, "length") if max_tokens <= room else (room, "context")

    def _prefill(self, prompts: list[list[int]], pixel_values: Pixels | None) -> tuple[Tensor, KVCache]:
        """Read the prompts: logits (B, V) of the token after each, and the cache that holds them.

        Shorter prompts are padded on the right, where causal attention keeps the padding from what comes before it.
        """
        model, lengths = self.model, [len(prompt) for prompt in prompts]
        padded = [prompt + [self.pad] * (max(lengths) - len(prompt)) for prompt in prompts]
        embeds = model.embed(torch.tensor(padded, device=model.device), pixel_values, None)  # (B, T, C)
        kind = model.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else embeds.dtype
        cache = KVCache(model.config.gpt, len(prompts), model.device, dtype)
        hidden = model.gpt.hidden(embeds, cache)
        cache.truncate(lengths)
        last = torch.tensor(lengths, device=model.device) - 1
        return model.next_logits(hidden[torch.arange(len(prompts), device=model.device), last]), cache

    def _decode(
        self, logits: Tensor, cache: KVCache, rows: list[Generation], limits: list[tuple[int, str]], sampling: Sampling
    ) -> Iterator[dict[int, int]]:
        """Choose tokens from logits (B, V) and read them, until every row has ended; yield {row: its token} each step.

        Fills `rows`. A row that ends is dropped from the batch: what is left costs less, and may be equally long.
        """
        random = torch.Generator(device=logits.device).manual_seed(sampling.seed)
        live = list(range(len(rows)))  # the rows that the batch still holds, in its order
        while True:
            chosen = choose_tokens(logits, sampling.temperature, sampling.top_k, random)  # (B,)
            probabilities = torch.softmax(logits, -1).gather(1, chosen[:, None])  # (B, 1)
            choices = dict(zip(live, chosen.tolist()))
            for (row, token), (probability,) in zip(choices.items(), probabilities.tolist()):
                self._extend(rows[row], token, probability, *limits[row])
            yield choices
            kept = [place for place, row in enumerate(live) if rows[row].stopped is None]
            if not kept:
                return
            if len(kept) < len(live):
                cache.select(kept)
                chosen, live = chosen[kept], [live[place] for place in kept]
            hidden = self.model.gpt.hidden(self.model.gpt.embed(chosen[:, None]), cache)  # (B, 1, C)
            logits = self.model.next_logits(hidden[:, -1])

    def _extend(self, generation: Generation, token: int, probability: float, limit: int, reason: str) -> None:
        generation.probabilities.append(probability)
        if token in self.end_tokens:
            generation.stopped = "end"
            return
        generation.tokens.append(token)
        if len(generation.tokens) == limit:
            generation.stopped = reason
