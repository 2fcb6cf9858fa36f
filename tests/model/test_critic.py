"""Critics: what they learn from is divided before it is repeated, and what they say is calibrated."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.experiment.mixture import Mixture
from genkit.model import Critic, CriticRecipe, LogYes, divided, learn_critic, log_odds
from genkit.train import AdamW


def test_no_item_is_in_both_parts_and_both_kinds_are_equally_frequent():
    yes = np.arange(130) % 13 < 3  # 30 of 130
    train, held = divided(yes, seed=1)
    assert not set(train.places) & set(held.places) and set(train.places) | set(held.places) == set(range(130))
    for part, counts in ((train, (27, 90)), (held, (3, 10))):
        assert (yes[part.places] == part.yes).all() and part.yes.sum() * 2 == len(part.yes) == 2 * counts[1]
        assert [len(set(part.places[part.yes == kind])) for kind in (True, False)] == list(counts)
    again, other = divided(yes, seed=1)[0], divided(yes, seed=2)[0]
    assert (again.places == train.places).all() and (other.places != train.places).any()
    many = divided(np.arange(20_000) < 10_000, seed=0)[1].some
    assert 512 <= len(many.places) < 2 * 512 and many.yes.mean() == pytest.approx(0.5, abs=0.001)
    soft = np.linspace(0, 1, 130)  # how probably: each once
    train, held = divided(soft, seed=1)
    assert sorted([*train.places, *held.places]) == list(range(130)) and len(held.places) == 13
    assert all((soft[part.places] == part.yes).all() for part in (train, held))
    with pytest.raises(UsageError, match="1 crystals are yes and 5 no; expected 2 of each"):
        divided(np.arange(6) < 1, 0, "crystals")
    with pytest.raises(UsageError, match="1 items; expected at least 2"):
        divided([0.5], 0)


def test_a_critic_of_two_gaussians(tmp_path):
    """Of N(1, 1) with 1/5 and N(-1, 1) with 4/5 the log-odds are 2 x - log 4."""
    rng, yes = np.random.default_rng(0), np.arange(5000) < 1000
    x = rng.normal(size=5000).astype(np.float32) + np.where(yes, 1, -1)

    def network(params, x):
        return params["slope"] * x + params["shift"]

    def loss(params, aux, batch, key, training=True):
        logit = network(params, batch["x"])
        return jax.nn.softplus(jnp.where(batch["yes"], -logit, logit)).mean(), (aux, {})

    train, held = divided(yes, 0)
    examples, known = ({"x": x[part.places], "yes": part.yes} for part in (train, held.some))
    run = Run(Mixture(), tmp_path, may_train=True)
    params = {"slope": jnp.float32(0), "shift": jnp.float32(0)}
    found = learn_critic(
        run, "critic", loss, params, examples, known, optimizer=AdamW(lr=0.1, warmup=0), steps=200, batch=500
    )
    critic = Critic(lambda x, t, cond: network(found, x), log_odds(yes))
    at = jnp.array([-1.5, 0.0, 1.5])
    assert critic.prior == pytest.approx(-math.log(4))
    np.testing.assert_allclose(critic(at, 0.0), 2 * at - math.log(4), atol=0.3)
    np.testing.assert_allclose(jnp.exp(LogYes(critic)(at, 0.0)), 1 / (1 + 4 * jnp.exp(-2 * at)), atol=0.05)


def test_too_little_is_refused():
    with pytest.raises(UsageError, match="generated=10 and discriminator_steps=1000; expected at least 20 and 1"):
        CriticRecipe(generated=10)
