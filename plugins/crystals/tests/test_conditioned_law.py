"""Particles that compete have the law that was asked for: a chain small enough to be enumerated."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from genkit.discrete import cosine_steps
from genkit_crystals.chains import CrystalDenoiser, Frequencies, ancestral, layout, process, sites
from genkit_crystals.chains.layout import encode
from genkit_crystals.chains.steering import Steering, goal, steered
from genkit_crystals.protostructures import ELEMENTS

T, GROUP, NA, CL = 3, 6, 11, 17  # Pm: a and b on mirrors (multiplicity 1), c general (2)
SITES = [(row, z) for row in range(3) for z in (NA, CL)]
SIZE = np.array([1, 1, 1, 1, 2, 2])
STATES = np.array(list(product((0, 1), repeat=6)))  # one or no orbit of sodium or chlorine on a, b, c


def network(params, x, slots, group, step):
    """Logits by which every orbit that is there speaks for or against each other one."""
    own = x[1][..., [NA - 1, CL - 1]].reshape(len(x[1]), -1)
    every = jnp.zeros((*x[1].shape, 2)).at[..., 1].set(-40.0)  # of no other element
    said = params["alone"] + own @ params["pairs"] + 0.2 * step[:, None]
    every = every.at[:, :, [NA - 1, CL - 1], 1].set(said.reshape(-1, 3, 2))
    return jnp.zeros((*x[0].shape, ELEMENTS + 1)), every


def chain(together=1.0):
    """(denoiser, processes, exact law of the states) of orbits that speak for each other, or with 0 do not."""
    rng = np.random.default_rng(0)
    params = {"alone": rng.normal(size=6) - 0.5, "pairs": together * rng.normal(size=(6, 6))}
    law, bars = np.eye(64)[0], np.asarray(cosine_steps(T), float)
    for t in range(T, 0, -1):  # an empty site is filled at t - 1 if it is one that is full and was hidden till now
        odds = np.exp(params["alone"] + STATES @ params["pairs"] + 0.2 * (t - 1)) * (1 - bars[t])
        fill = odds / (1 + odds) * (bars[t - 1] - bars[t]) / (1 - bars[t])
        p = np.where(STATES == 1, 1.0, fill)[:, None]
        law = law @ np.prod(np.where(STATES == 1, p, 1 - p), -1)
    slots = layout([GROUP])
    return (
        CrystalDenoiser(network, params, slots),
        process("zeros", T, Frequencies(np.ones(101) / 101, np.ones(2) / 2)),
        law,
    )


@pytest.mark.parametrize("case", ["formula", "atoms", "formula and sites"])
def test_particles_have_the_exact_conditional_law(case):
    """The law by Hotelling's statistic, which tells that of orbits that do not know each other; the weights, which
    change that law by less than it tells, by log Z."""
    denoiser, processes, law = chain()
    sodium, chlorine = (STATES[:, i::2] @ SIZE[i::2] for i in (0, 1))
    right, asked, given = sodium + chlorine > 0, goal(), None
    if "formula" in case:
        right, asked = right & (sodium == chlorine), goal("NaCl")
    if case == "atoms":
        right, asked = right & (sodium + chlorine <= 3), goal(atoms=3)
    if "sites" in case:  # sodium on a, none of anything on b
        right, given = right & (STATES[:, 0] == 1) & ~STATES[:, 2:4].any(1), sites(GROUP, ["a=Na", "b=0"])
    exact, n = np.where(right, law, 0), 1000
    assert law.sum() == pytest.approx(1) and 0.02 < exact.sum() < 0.9

    def sampler(slots):
        return ancestral(processes) if given is None else given.held(ancestral(processes), slots)

    drawn = steered(
        jax.random.key(1), denoiser, np.full(n, GROUP), sampler, Steering(asked), particles=4, batch=n, widths=()
    )
    full = [i for i, c in enumerate(drawn.crystals) if c is not None]
    found = encode(drawn.full, layout([GROUP]), 2).x1[..., [NA - 1, CL - 1]].reshape(-1, 6)
    which, weight = found @ 2 ** np.arange(5, -1, -1), np.exp(np.asarray(drawn.log_w)[full])
    some = np.flatnonzero(exact * n > 5)  # rarer states: all others together
    cells = np.full(64, len(some))
    cells[some] = np.arange(len(some))
    assert right[which].all()
    # w [x = s] has the mean Z p(s), however few the particles: Hotelling's statistic of all cells
    each = np.zeros((n, len(some) + 1))
    each[full, cells[which]] = weight

    def surprise(law):
        expected = np.bincount(cells, np.where(right, law, 0), len(some) + 1)
        there = expected > 0
        gap = (each.mean(0) - expected)[there]
        return n * gap @ np.linalg.solve(np.atleast_2d(np.cov(each.T[there])), gap) / chi2.ppf(0.999, len(gap))

    assert surprise(law) < 1 < surprise(chain(0.0)[2])
    error = each.sum(1).std() / n**0.5
    assert abs(weight.sum() / n - exact.sum()) < 4 * error < abs(len(full) / n - exact.sum())
