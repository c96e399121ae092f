"""The engine: prompts and pictures in, tokens out, many rows together."""

from nanochat.engine.engine import NO_GUARD, Engine, Generation, Guard, Sampling, prompts_about

__all__ = ["NO_GUARD", "Engine", "Generation", "Guard", "Sampling", "prompts_about"]
