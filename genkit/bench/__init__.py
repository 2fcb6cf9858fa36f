"""Benchmarks: figures beside the exact or published ones, and timings. `genkit bench` measures what is registered.

A suite is a frozen dataclass whose `measure(profile)` yields rows:

    @dataclass(frozen=True)
    class Speed:
        def measure(self, profile):
            step, row = compiled("step", train_step, *args)
            yield row
            yield Timed("step", lambda: step(*args), {"steps/s": 1})
            yield Row("loss at the optimum", loss(), expected=1.0, tolerance=0.01)

The profile is ``full``, or ``smoke`` for a machine that only tests whether the suite works: small shapes, one round.
"""

from genkit.bench.convergence import Convergence
from genkit.bench.harness import measure
from genkit.bench.programs import compiled, sampling
from genkit.bench.records import baseline, machine, record, table
from genkit.bench.rows import Row, Timed

__all__ = ["Convergence", "Row", "Timed", "baseline", "compiled", "machine", "measure", "record", "sampling", "table"]
