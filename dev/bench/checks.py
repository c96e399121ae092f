"""Compare fast paths with the plain computations that they replace: time, and difference of the results."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dev.bench.rates import best_seconds
from nanochat.attention import attend_each, attend_varlen, has_varlen
from nanochat.deepencoder import sam
from nanochat.gpt import cap, token_losses
from nanochat.nano_deepseek_ocr import ModelConfig, preset
from nanochat.training.optim import orthogonalise

SECONDS = 0.3


@dataclass
class Check:
    """One fast path: forward and backward seconds, and the largest relative difference of gradients or results."""

    name: str
    against: str
    fast_seconds: float
    plain_seconds: float
    error: float


def _distance(ours: list[Tensor], truth: list[Tensor]) -> float:
    return max(float((a.float() - b.float()).norm() / b.float().norm()) for a, b in zip(ours, truth, strict=True))


def compare_gradients(
    name: str, against: str, fast: Callable[..., Tensor], plain: Callable[..., Tensor], inputs: list[Tensor]
) -> Check:
    """Time both functions of `inputs` with their gradients, and compare the gradients (of floating-point inputs)."""
    leaves = [x.requires_grad_() if x.is_floating_point() else x for x in inputs]

    def gradients(function: Callable[..., Tensor]) -> list[Tensor]:
        return list(torch.autograd.grad(function(*leaves), [x for x in leaves if x.requires_grad]))

    device = inputs[0].device
    fast_seconds = best_seconds(lambda: gradients(fast), device, SECONDS)
    plain_seconds = best_seconds(lambda: gradients(plain), device, SECONDS)
    return Check(name, against, fast_seconds, plain_seconds, _distance(gradients(fast), gradients(plain)))


def _loss(config: ModelConfig, device: torch.device) -> Check:
    """The loss of supervised positions computed in chunks, compared with all logits at once."""
    width, words, tokens = config.gpt.n_embd, config.gpt.vocab_size, 2048
    hidden, head = torch.randn(tokens, width, device=device), 0.1 * torch.randn(words, width, device=device)
    targets = torch.randint(0, words, (tokens,), device=device)
    targets[: tokens // 2] = -1  # image and question are not supervised

    def chunked(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        return token_losses(hidden[targets != -1], head, targets[targets != -1]).sum()

    def whole(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(cap(F.linear(hidden, head)), targets, ignore_index=-1, reduction="sum")

    return compare_gradients(
        "loss of supervised positions, in chunks", "all logits", chunked, whole, [hidden, head, targets]
    )


def _attention(config: ModelConfig, device: torch.device, grid: int, batch: int) -> Check:
    """SAM's attention with the bias folded into queries and keys, compared with the score matrix."""
    width, n = config.vision.sam.width // config.vision.sam.n_head, grid * grid
    q, k, v = (torch.randn(batch, n, width, device=device) for _ in range(3))
    biases = [torch.randn(batch, grid, grid, grid, device=device) for _ in range(2)]
    weights = torch.randn(batch, n, width, device=device)  # a plain sum would give queries no gradient

    def weighted(attend: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *inputs: (attend(*inputs) * weights).sum()

    fast, plain = weighted(sam.folded_attention), weighted(sam.unfolded_attention)
    return compare_gradients(
        f"SAM's attention folded, {n} positions", "scores in full", fast, plain, [q, k, v, *biases]
    )


def _documents(config: ModelConfig, device: torch.device) -> Check:
    """Attention within packed documents in one kernel, compared with one call per document, in bfloat16."""
    heads, width, lengths = config.gpt.n_head, config.gpt.n_embd // config.gpt.n_head, [40, 90, 25, 300, 64] * 8
    q, k, v = (torch.randn(1, heads, sum(lengths), width, device=device, dtype=torch.bfloat16) for _ in range(3))
    weights = torch.randn_like(q)

    def each_alone(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (attend_each(q, k, v, lengths) * weights).sum()

    def together(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (attend_varlen(q, k, v, lengths) * weights).sum()

    return compare_gradients(
        f"attention of {len(lengths)} packed documents", "one call for each", together, each_alone, [q, k, v]
    )


def _muon(config: ModelConfig, device: torch.device) -> Check:
    """Muon's iteration in bfloat16, compared with float32."""
    width = config.gpt.n_embd
    matrices = torch.randn(4, width, 4 * width, device=device)
    matrices /= matrices.norm(dim=(1, 2), keepdim=True)
    low = matrices.bfloat16()
    fast_seconds = best_seconds(lambda: orthogonalise(low), device, SECONDS)
    plain_seconds = best_seconds(lambda: orthogonalise(matrices), device, SECONDS)
    error = _distance([orthogonalise(low)], [orthogonalise(matrices)])
    return Check("Muon's iteration in bfloat16", "float32", fast_seconds, plain_seconds, error)


def run_checks(model: str, device: torch.device) -> list[Check]:
    """Run every check at the sizes of `model`."""
    config = preset(model)
    torch.manual_seed(0)
    window, heads = config.vision.sam.window, config.vision.sam.n_head
    found = [
        _loss(config, device),
        _attention(config, device, window, 16 * heads),
        _attention(config, device, 32, heads),
        _muon(config, device),
    ]
    return [*found, _documents(config, device)] if has_varlen(device, torch.bfloat16) else found
