"""Answers in the format of the OpenAI protocol: one response, or chunks as server-sent events."""

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

COMPLETE = ("end", "stop")  # reasons to stop with which a text is complete; `finish_reason` is `length` for all others
LAST_EVENT = "data: [DONE]\n\n"


def ending(stopped: str | None) -> dict[str, str | None]:
    """Why an answer ended: `finish_reason` of the protocol, and the more detailed reason `stopped`."""
    return {"finish_reason": "stop" if stopped in COMPLETE else "length", "stopped": stopped}


def usage(read: int, written: int) -> dict[str, int]:
    """The number of tokens that were read and written."""
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def server_event(data: dict[str, Any]) -> str:
    """Data as one server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


@dataclass
class Envelope:
    """The fields that all parts of one response share."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def _frame(self, kind: str, choices: list[dict[str, Any]], used: dict[str, int] | None = None) -> dict[str, Any]:
        frame = {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}
        return frame if used is None else {**frame, "usage": used}

    def whole(self, answers: Sequence[tuple[str, str | None]], used: dict[str, int]) -> dict[str, Any]:
        """The finished answers, each as (text, why it ended), in one response."""
        choices = [
            {"index": i, "message": {"role": "assistant", "content": text}, **ending(stopped)}
            for i, (text, stopped) in enumerate(answers)
        ]
        return self._frame("chat.completion", choices, used)

    def _chunk(self, which: Sequence[int], delta: dict[str, str], ended: dict[str, str | None] | None = None) -> str:
        choices = [{"index": i, "delta": delta, **(ended or {"finish_reason": None})} for i in which]
        return server_event(self._frame("chat.completion.chunk", choices))

    def opening(self, *which: int) -> str:
        """The first event of the answers with these indices."""
        return self._chunk(which, {"role": "assistant", "content": ""})

    def piece(self, text: str, *which: int) -> str:
        """An event with further text of these answers."""
        return self._chunk(which, {"content": text})

    def ended(self, stopped: str | None, *which: int) -> str:
        """The last event of these answers."""
        return self._chunk(which, {}, ending(stopped))

    def used(self, used: dict[str, int]) -> str:
        """An event with the number of tokens, after all answers."""
        return server_event(self._frame("chat.completion.chunk", [], used))
