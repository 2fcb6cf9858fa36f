"""The file that pytest collects: one test per suite, whose work `genkit.bench.harness` fills in."""

from collections.abc import Callable
from typing import Any


def test_suite(benchmark: Any, work: Callable[[Any], None]) -> None:
    """Measure one suite with the timer of pytest-benchmark."""
    work(benchmark)
