"""The engine: generates answers to prompts with images, many at a time."""

from nanochat.engine.engine import NO_GUARD, Engine, Generation, Guard, Sampling, conversation_tokens, prompts_about

__all__ = ["NO_GUARD", "Engine", "Generation", "Guard", "Sampling", "conversation_tokens", "prompts_about"]
