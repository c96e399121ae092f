"""Metrics for Prometheus. They contain no text and no file names."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from nanochat.engine.answers import Generation

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
ROWS = (0, 1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters and histograms of one server, in their own registry."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self.requests = Counter("nano_ocr_requests", "answered requests", ["route", "status"], registry=own)
        self.seconds = Histogram(
            "nano_ocr_request_seconds", "time of a request", ["route"], registry=own, buckets=SECONDS
        )
        self.prompt_tokens = Counter("nano_ocr_prompt_tokens", "prompt tokens, including those of images", registry=own)
        self.tokens = Counter("nano_ocr_generated_tokens", "tokens written", registry=own)
        self.stopped = Counter("nano_ocr_answers", "answers by what ended them", ["stopped"], registry=own)
        self.loops = Counter("nano_ocr_loops", "answers that repeated themselves and were stopped", registry=own)
        self.queue = Gauge("nano_ocr_queue", "prompts waiting for a place in the batch", registry=own)
        self.rows = Histogram("nano_ocr_batch_rows", "rows of a step", registry=own, buckets=ROWS)
        self.first = Histogram(
            "nano_ocr_first_token_seconds", "time from the request to the first token", registry=own, buckets=SECONDS
        )
        self.step_seconds = Histogram(
            "nano_ocr_step_seconds", "a step: a token for every row", registry=own, buckets=(0.001, 0.0025, *SECONDS)
        )

    def step(self, seconds: float, rows: int, waiting: int) -> None:
        """Record a step of the model: its duration in seconds, rows in the batch, and prompts that wait."""
        self.step_seconds.observe(seconds)
        self.rows.observe(rows)
        self.queue.set(waiting)

    def first_token(self, seconds: float) -> None:
        """Record the time in seconds from the arrival of a prompt to its first token."""
        self.first.observe(seconds)

    def answered(self, generation: Generation) -> None:
        """Record a finished answer."""
        self.tokens.inc(len(generation.tokens))
        self.stopped.labels(generation.stopped or "").inc()
        if generation.dropped:
            self.loops.inc()

    def page(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
