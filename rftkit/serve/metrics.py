"""What Prometheus reads: requests and their latencies, the queue, batches, tokens."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
PROMPTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counts of one service, in a registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "rftkit_requests", "Requests by path and status", ["path", "status"], registry=registry
        )
        self._latency = Histogram(
            "rftkit_request_seconds", "From a request's first byte to its answer's last", ["path"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._queue = Gauge("rftkit_queue_depth", "Prompts that wait", registry=registry)
        self._batch = Histogram(
            "rftkit_batch_prompts", "Prompts in a forward", buckets=PROMPTS, registry=registry
        )
        self._forward = Histogram(
            "rftkit_forward_seconds", "Of one batch", buckets=SECONDS, registry=registry
        )
        self._tokens = Counter(
            "rftkit_tokens", "Tokens read and written", ["kind"], registry=registry
        )

    def request(self, path: str, status: int, seconds: float) -> None:
        """A request that was answered."""
        self._requests.labels(path, str(status)).inc()
        self._latency.labels(path).observe(seconds)

    def tokens(self, prompt: int, completion: int) -> None:
        """Of answers that were sent."""
        self._tokens.labels("prompt").inc(prompt)
        self._tokens.labels("completion").inc(completion)

    def waiting(self, prompts: int) -> None:
        """Prompts that wait now."""
        self._queue.set(prompts)

    def forward(self, prompts: int, seconds: float) -> None:
        """A batch that was computed."""
        self._batch.observe(prompts)
        self._forward.observe(seconds)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)
