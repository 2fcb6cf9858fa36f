"""The exact and published figures of the suite `core.fidelity`, each within its tolerance."""

import jax
import pytest

from genkit.bench import fidelity
from genkit.bench.categorical import categorical

EXACT = [
    *(fidelity.denoisers, fidelity.flow, fidelity.variances, fidelity.chain, fidelity.mapped, fidelity.likelihood),
    *(fidelity.guided, fidelity.least, fidelity.preconditioning, categorical),
]


def missed(rows):
    rows = list(rows)
    assert rows
    return [f"{row.name}: {row.value!r}, expected {row.expected!r}" for row in rows if row.missed]


@pytest.mark.parametrize("part", EXACT, ids=lambda part: part.__name__)
def test_exact_figures(part):
    with jax.enable_x64(True):
        assert missed(part()) == []


@pytest.mark.parametrize("case", fidelity.CONVERGENCE, ids=lambda case: case[0])
def test_errors_and_order_of_solvers(case):
    with jax.enable_x64(True):
        assert missed(fidelity.convergence(*case, len(fidelity.NODES))) == []


@pytest.mark.parametrize("part", [fidelity.losses, fidelity.traces], ids=lambda part: part.__name__)
def test_estimates(part):
    assert missed(part()) == []
