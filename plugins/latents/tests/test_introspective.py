"""Introspective autoencoders: their losses against numpy, what each player learns from, priors and scores."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import genkit
from genkit.errors import UsageError
from genkit.nn import Net
from genkit_latents.datasets import BOX, plane
from genkit_latents.distributions import Mixture, assignment, clipped, divergence
from genkit_latents.models import Introspective, IntroVAE, priors_seen
from genkit_latents.models.introspective import Noise, Weights, decoder_loss, encoder_loss, noise, vae_loss
from genkit_latents.models.players import balanced, warn
from genkit_latents.networks import Perceptron, Residual
from genkit_latents.stats import PROBES, frechet_whitened, histogram_divergences, probes

KEY = jax.random.key(0)
W = Weights(0.2, 0.3, 0.9, 0.5, 0.7, gamma_rec=0.1)
TWIN = Perceptron((5,), "tanh")


def small(k=3):
    """A game of few numbers, float64: model, prior, rows, noise."""
    rng = np.random.default_rng(0)
    nets = {name: Net(TWIN, (2, n)) for name, n in (("encoder", 4), ("decoder", 2))}
    params = {name: jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), net.shapes())
              for name, net in nets.items()}  # fmt: skip
    prior = Mixture(*(jnp.asarray(rng.normal(size=s)) for s in ((k, 2), (k, 2), (k,))))
    e = Noise(
        jnp.array([0, 2, 1, 0]) % k, *(jnp.asarray(rng.normal(size=s)) for s in ((4, 2), (3, 4, 2), (3, 6, 4, 2)))
    )
    return IntroVAE(params, nets["encoder"], nets["decoder"], prior), prior, jnp.asarray(rng.normal(size=(4, 2))), e


class Numpy:
    """The losses of the two steps as sums written out, with every blocked gradient an argument of its own."""

    def __init__(self, params, prior, x, e, frozen_params, frozen_prior):
        self.p, self.prior, self.x = params, prior, np.asarray(x)
        self.e, self.fp, self.fprior = e, frozen_params, frozen_prior

    @staticmethod
    def net(p, x):
        layers = [p["layers"][i] for i in range(2)]
        h = np.tanh(x @ layers[0]["kernel"] + layers[0]["bias"])
        return h @ layers[1]["kernel"] + layers[1]["bias"]

    reference = False

    def kl(self, m, lv, prior, e):
        mean, u, a = prior
        total = 0.0
        log_w = a - np.log(np.exp(a).sum())
        for one in e:
            z = m + np.exp(lv / 2) * one
            parts = [-0.5 * (u[k] + (z - mean[k]) ** 2 * np.exp(-u[k])).sum(-1) + log_w[k] for k in range(len(a))]
            total = total - np.log(np.exp(parts).sum(0))
        entropy = (lv + (e**2).mean(0) if self.reference else lv + 1).sum(-1) / 2
        return -entropy + total / len(e)

    def code(self, p, x):
        return np.split(self.net(p["encoder"], x), 2, -1)

    def fake(self, params, prior):
        m, u, _ = prior
        k = np.asarray(self.e.k)
        return self.net(params["decoder"], m[k] + np.exp(u[k] / 2) * self.e.prior)

    def vae(self):
        m, lv = self.code(self.p, self.x)
        own = self.net(self.p["decoder"], m + np.exp(lv / 2) * self.e.codes[0])
        return 0.2 * ((self.x - own) ** 2).sum(-1).mean() + 0.3 * self.kl(m, lv, self.prior, self.e.kl[0]).mean()

    def encoder(self):
        fake = self.fake(self.fp, self.fprior)
        m, lv = self.code(self.p, self.x)
        own = self.net(self.p["decoder"], m + np.exp(lv / 2) * self.e.codes[0])
        m0, lv0 = self.code(self.fp, self.x)
        still = self.net(self.fp["decoder"], m0 + np.exp(lv0 / 2) * self.e.codes[0])
        kl = self.kl(m, lv, self.prior, self.e.kl[0])
        total = 0.5 * (0.2 * ((self.x - own) ** 2).sum(-1).mean() + 0.3 * kl.mean())
        for i, made in ((1, fake), (2, still)):
            a, b = self.code(self.p, made)
            again = ((made - self.net(self.p["decoder"], a + np.exp(b / 2) * self.e.codes[i])) ** 2).sum(-1)
            pull = np.exp(-2 * 0.5 * (0.2 * again + 0.9 * self.kl(a, b, self.prior, self.e.kl[i])))
            total += 0.5 * 0.5 * pull.mean()
        mean, u, a = self.prior
        z = (m + np.exp(lv / 2) * self.e.kl[0])[..., None, :]
        r = np.exp(-0.5 * (u + (z - mean) ** 2 * np.exp(-u)).sum(-1) + a)
        p = (r / r.sum(-1, keepdims=True)).mean((0, 1))
        return total + 0.5 * 0.7 * (p * np.log(p + 1e-8)).sum() / np.log(3)

    def decoder(self):
        m0, lv0 = self.code(self.fp, self.x)
        own = self.net(self.p["decoder"], m0 + np.exp(lv0 / 2) * self.e.codes[0])
        fake = self.fake(self.p, self.prior)
        total = 0.2 * ((self.x - own) ** 2).sum(-1).mean() + 0.3 * self.kl(m0, lv0, self.prior, self.e.kl[0]).mean()
        stills = self.fake(self.fp, self.fprior), self.net(self.fp["decoder"], m0 + np.exp(lv0 / 2) * self.e.codes[0])
        for i, (made, still) in enumerate(zip((fake, own), stills, strict=True), 1):
            m, lv = self.code(self.p, made)
            z = np.concatenate(self.code(self.fp, still), -1)
            z = z[:, :2] + np.exp(z[:, 2:] / 2) * self.e.codes[i]
            again = ((still - self.net(self.p["decoder"], z)) ** 2).sum(-1).mean()
            total += 0.5 * (0.3 * self.kl(m, lv, self.fprior, self.e.kl[i]).mean() + 0.1 * 0.2 * again)
        return 0.5 * total


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("turn", ["vae", "encoder", "decoder"])
def test_losses_and_gradients_against_numpy(turn, reference):
    """Each loss, and all slopes of who may learn from it, by central differences of the loss with blocks frozen.

    The prior is among them in each: it follows the decoder or the encoder.
    """
    with jax.enable_x64(True):
        model, prior, x, e = small()
        loss = {"vae": vae_loss, "encoder": encoder_loss, "decoder": decoder_loss}[turn]

        @jax.jit
        def both(params, prior):
            value = lambda p, q: loss(replace(model, params=p), q, x, e, W, reference)[0]  # noqa: E731
            return jax.value_and_grad(value, (0, 1))(params, prior)

        value, (slope, prior_slope) = both(model.params, prior)
        plain = jax.tree.map(np.asarray, (model.params, prior))
        law = (plain[1].means, plain[1].log_vars, plain[1].logits)
        e = jax.tree.map(np.asarray, e)

        def at(p, q):
            known = Numpy(p, q, x, e, plain[0], law)
            known.reference = reference
            return getattr(known, turn)()

        assert float(value) == pytest.approx(at(plain[0], law), rel=1e-12)

        def moved(tree, i, h):
            flat, rest = jax.flatten_util.ravel_pytree(tree)
            flat = np.array(flat)
            flat[i] += h
            return jax.tree.map(np.asarray, rest(flat))

        for player in ("encoder", "decoder") if turn == "vae" else (turn,):
            own, known = plain[0][player], jax.flatten_util.ravel_pytree(slope[player])[0]
            for i in range(0, len(known), 3):
                up, down = (at(plain[0] | {player: moved(own, i, h)}, law) for h in (1e-5, -1e-5))
                assert float(known[i]) == pytest.approx((up - down) / 2e-5, rel=1e-6, abs=1e-9)
        for i, part in enumerate(("means", "log_vars", "logits")):
            for j in np.ndindex(law[i].shape):
                a, b = (list(law), list(law))
                a[i], b[i] = law[i].copy(), law[i].copy()
                a[i][j] += 1e-5
                b[i][j] -= 1e-5
                expected = (at(plain[0], a) - at(plain[0], b)) / 2e-5
                assert float(getattr(prior_slope, part)[j]) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def game(system, cooperation):
    """A recipe, and a game in its middle, float32: model, state, rows, the players' rule."""
    rule = optax.adam(1e-3)
    recipe = Introspective(system=system, cooperation=cooperation, components=3, batch=4, samples=2, network=TWIN)
    model, prior, x, _ = jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == float else a, small())
    third = {"normal": {}, "vamp": {"inputs": x[:3], "logits": prior.logits}}.get(
        recipe.kind, {"means": prior.means, "log_vars": prior.log_vars, "logits": prior.logits}
    )
    params = model.params | {"prior": third}
    state = {"params": params, "rules": {name: rule.init(p) for name, p in params.items()}}
    return recipe, model, state, x, rule


@pytest.mark.parametrize("cooperation", ["decoder", "encoder"])
@pytest.mark.parametrize("prior", ["normal", "mog_fixed", "mog", "vamp"])
def test_a_turn_leaves_the_others_as_they_are(prior, cooperation):
    """Bit for bit, parameters and the state of their Adam; who has the turn moves."""
    recipe, model, state, x, rule = game(f"{prior}_sintro", cooperation)
    learns = prior in ("mog", "vamp")
    for role in recipe.roles(game=True):
        name = role[0]
        after = jax.jit(lambda s, role=role: recipe.turn(role, model, W, rule, None, s, x, KEY)[0])(state)
        movers = {name} | ({"prior"} if learns and cooperation == name else set())
        for player in ("encoder", "decoder", "prior"):
            for part in ("params", "rules"):
                pairs = zip(*(jax.tree.leaves(s[part][player]) for s in (state, after)), strict=True)
                same = [np.array_equal(a, b) for a, b in pairs]
                if player not in movers and (part == "params" or player != "prior" or prior != "normal"):
                    assert all(same), (name, player, part)
                elif player in movers:
                    assert not all(same), (name, player, part)


def test_players_move_in_turns():
    """A step is the encoder's turn, then the decoder's with the new encoder; what only the decoder's loss has does not
    reach the encoder, in one program bit for bit."""
    recipe, model, state, x, rule = game("mog_sintro", "decoder")

    @jax.jit
    def step(s, gamma):
        return recipe.turns(model, W._replace(gamma=gamma), rule, None, True, s, x, KEY)[0]

    one, other = step(state, 1.0), step(state, 3.0)

    @jax.jit
    def apart(s):
        for role, key in zip(recipe.roles(True), jax.random.split(KEY), strict=True):
            s = recipe.turn(role, model, W, rule, None, s, x, key)[0]
        return s

    for part in ("params", "rules"):
        for player, same in (("encoder", True), ("decoder", False)):
            pairs = zip(*(jax.tree.leaves(s[part][player]) for s in (one, other)), strict=True)
            assert all(np.array_equal(a, b) for a, b in pairs) is same
    for a, b in zip(*(jax.tree.leaves(s) for s in (one, apart(state))), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("cooperation", "leader"), [("decoder", "decoder"), ("encoder", "encoder")])
def test_a_player_goes_where_its_own_loss_takes_it(cooperation, leader):
    """Each player is where its own loss alone takes it, from Adam of its own; the decoder answers to the
    new encoder; a fixed prior stays."""
    rule = optax.adam(1e-3)
    for system in ("mog_sintro", "mog_fixed_sintro"):
        recipe = Introspective(system=system, cooperation=cooperation, components=3, batch=4, samples=2, network=TWIN)
        model, prior, x, _ = jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == float else a, small())
        params = model.params | {"prior": {"means": prior.means, "log_vars": prior.log_vars, "logits": prior.logits}}
        state = {"params": params, "rules": {name: rule.init(p) for name, p in params.items()}}
        turns = jax.jit(lambda s, x, m=model, r=recipe: r.turns(m, W, rule, None, True, s, x, KEY))
        after = turns(state, x)[0]
        keys = jax.random.split(KEY, 2)

        def step(loss, now, name, key, m=model, r=recipe, x=x):
            @jax.jit
            def slope(own, now, x):
                def value(own):
                    every = now | own
                    law = r.prior(m, every, None)
                    law = law if "prior" in own else jax.lax.stop_gradient(law)
                    e = noise(key, law, 4, 2)
                    return loss(replace(m, params={n: every[n] for n in ("encoder", "decoder")}), law, x, e, W)[0]

                return jax.grad(value)(own)

            follows = ("prior",) if name == leader and r.kind == "mog" else ()
            own = {n: now[n] for n in (name, *follows)}
            found = slope(own, now, x)
            moved = {n: optax.apply_updates(now[n], rule.update(found[n], rule.init(now[n]))[0]) for n in own}
            return now | moved

        expected = step(encoder_loss, params, "encoder", keys[0])
        expected = step(decoder_loss, expected, "decoder", keys[1])
        for name in ("encoder", "decoder", "prior"):
            for a, b in zip(jax.tree.leaves(after["params"][name]), jax.tree.leaves(expected[name]), strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-7)
            count = int(after["rules"][name][0].count)
            assert count == (0 if name == "prior" and system == "mog_fixed_sintro" else 1)
        same = jax.tree.map(lambda a, b: bool((a == b).all()), after["params"]["prior"], params["prior"])
        assert all(jax.tree.leaves(same)) == (system == "mog_fixed_sintro")


def test_the_weight_that_leaves_real_rows_where_they_are():
    """The encoder's loss in the divergence that a row has in common with its reconstruction is least there; far below
    that weight the game drags it away, and says so."""
    w = Weights(1.0, 0.1, 0.5, 1 / 64)
    b = balanced(w, 9.0)
    pull = lambda k: w.scale * w.kl * k + np.exp(-w.alpha * w.scale * b * k) / (2 * w.alpha)  # noqa: E731
    k = np.linspace(2, 40, 4001)
    assert k[np.argmin(pull(k))] == pytest.approx(9, abs=0.02)
    assert balanced(w, 1e3) == pytest.approx(2 * np.e * w.kl)
    with pytest.warns(UserWarning, match="rose from 9 to 67; take the third of betas .now 0.5. nearer to 15"):
        warn(w, (9.0, 9.0), (67.0, 100.0))
    with pytest.warns(UserWarning, match="KL of real rows 10 is above that of fakes 5"):
        warn(w, (9.0, 9.0), (10.0, 5.0))
    with pytest.warns(UserWarning, match="rose from 0 to 67; take a smaller second one"):  # no weight would hold them
        warn(w, (0.0, 9.0), (67.0, 100.0))
    with pytest.warns(UserWarning, match="; take a smaller second one"):
        warn(w._replace(kl=0.0), (9.0, 9.0), (67.0, 100.0))


def test_divergences_from_a_mixture():
    with jax.enable_x64(True):
        one, zero = jnp.ones((1, 1)), jnp.zeros((1, 1))
        standard = Mixture(zero, zero, jnp.zeros(1))
        e = jax.random.normal(KEY, (4000, 1, 1), float)
        assert divergence(one, zero, standard, e)[0] == pytest.approx(0.5, rel=1e-12)
        assert divergence(one, zero, standard, e, True)[0] == pytest.approx(0.5, abs=0.05)
        same = Mixture(jnp.zeros((3, 1)), jnp.zeros((3, 1)), jnp.array([0.3, -1.0, 2.0]))
        z = jnp.array([[0.4], [-1.0]])
        np.testing.assert_allclose(same.log_prob(z), standard.log_prob(z), rtol=1e-12)
        _, prior, x, _ = small()
        turned = jax.tree.map(lambda a: a[::-1], prior)
        np.testing.assert_allclose(turned.log_prob(x), prior.log_prob(x), rtol=1e-12)
        assert assignment(jnp.full((5, 4), 0.25)) == pytest.approx(-1, abs=1e-6)
        assert assignment(jnp.eye(4)[:1]) == pytest.approx(0, abs=1e-6)
        assert assignment(jnp.full((5, 2), 0.5)) == pytest.approx(-np.log(2), abs=1e-6)  # log 2 < 1: not divided


def test_variances_are_kept_softly():
    u = jnp.array([-1.0, 10.0, -20.0, 0.0])
    found = clipped(u, jnp.full(4, -2.0), jnp.zeros(4))
    np.testing.assert_allclose(found, (-1.0, 0.0, -2.0, -np.log(2) / 5), atol=2e-5)
    assert clipped(u, jnp.full(4, 0.5), jnp.full(4, 0.5)) == pytest.approx(0.5)


def test_a_vamp_prior_becomes_a_mixture():
    """The same density with weights as logarithms; the published way evens them out."""
    recipe = Introspective(components=3, network=TWIN)
    model, prior, x, _ = jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == float else a, small())
    params = model.params | {"prior": {"inputs": x[:3], "logits": jnp.array([0.0, 2.0, -1.0])}}
    vamp = recipe.prior(model, params, None)
    same = recipe.prior(model, params | {"prior": recipe.converted(model, params)}, None)
    np.testing.assert_allclose(same.log_prob(x), vamp.log_prob(x), rtol=1e-5)
    quirk = replace(recipe, weights="reference").converted(model, params)
    np.testing.assert_allclose(quirk["logits"], jax.nn.softmax(vamp.logits), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "kl", "jsd", "nats", "true"),
    [("gaussians8", 0.76, 0.33, 0.121, 0.0047), ("spiral", 6.81, 3.16, 4.355, 0.1503),
     ("checkerboard", 17.10, 8.09, 10.94, 0.2884), ("rings", 7.816, 3.65, 5.002, 0.1603)],
)  # fmt: skip
def test_a_perfect_generator_is_at_the_floor(kind, kl, jsd, nats, true):
    """Scores of 5000 draws of the density against 5000, over eight pairs; of the uniform density they are far above.

    Those of the rings: kl exactly, from the binomial laws of the counts in cells whose probabilities are integrals; jsd
    of 200 pairs.
    """
    draw = lambda seed: plane(kind, np.random.default_rng(seed), 5000)  # noqa: E731
    scores = np.mean([histogram_divergences(draw(s), draw(s + 9), BOX[kind]) for s in range(8)], 0)
    np.testing.assert_allclose(scores, (nats, true, kl, jsd), rtol=0.05 if kind != "gaussians8" else 0.3)
    uniform = np.random.default_rng(5).uniform(-BOX[kind], BOX[kind], (5000, 2))
    assert 1.4 * true < histogram_divergences(draw(0), uniform, BOX[kind]).jsd < np.log(2)


def test_the_study(tmp_path):
    """All keys, the floor below the rest, and a model that draws by itself."""
    run = genkit.run(genkit.config("latents.introspective", "tiny"), out=tmp_path / "run")
    for score in ("jsd", "kl", "jsd_ref", "kl_ref", "active", "elbo", "seconds"):
        assert np.isfinite(run.results[f"{score}/gaussians8/mog_sintro"])
    assert run.results["jsd/gaussians8/floor"] < run.results["jsd/gaussians8/mog_sintro"]
    assert genkit.load_model(run.folder).sample(KEY, 3)["samples"].shape == (3, 2)


def test_residual_networks():
    """What was settled on one batch does to it what training did; sizes in the middle; rows of another size."""
    net = Net(Residual((3, 4), (8, 4, 2)), (64, 6))
    back = Net(net.component, (3, 64))
    params, x = net.init(KEY), jax.random.normal(KEY, (5, 64))
    code = net(params, x)
    assert code.shape == (5, 6) and back(back.init(KEY), x[:, :3]).shape == (5, 64)
    assert params["last"]["kernel"].shape == (2 * 1 * 4, 6) and params["first"]["kernel"].shape == (5, 5, 2, 3)
    fixed, kept = net.component.settled(net, params, x, 5)
    np.testing.assert_allclose(fixed(kept, x), code, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fixed(kept, x[:1]), code[:1], rtol=1e-4, atol=1e-5)  # alone: no batch decides
    assert float(jnp.abs(net(params, x[:1]) - code[:1]).max()) > 1e-3
    for component, says in (
        (Residual((3,) * 4, (8, 4, 2)), "not halved"),
        (Residual((3, 4), (8, 8, 2)), "128 numbers"),
    ):
        with pytest.raises(UsageError, match=says):
            Net(component, (64, 6)).shapes()


def test_probes_and_the_distance_of_images():
    """Codes that are classes, codes that are noise; rows moved by one standard deviation of each component."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=600)
    z = np.eye(3)[y] * 8 + rng.standard_normal((600, 3))
    assert min(probes(z[:400], y[:400], z[400:], y[400:]).values()) > 0.98
    blind = probes(rng.standard_normal((400, 3)), y[:400], rng.standard_normal((200, 3)), y[400:])
    assert set(blind) == set(PROBES) and max(blind.values()) < 0.45
    rows = rng.standard_normal((500, 40)) @ rng.standard_normal((40, 40))
    assert frechet_whitened(rows, rows) == pytest.approx(0, abs=1e-8)
    up = np.linalg.svd(rows - rows.mean(0), full_matrices=False)[2][:32]
    sd = (rows @ up.T).std(0, ddof=1)
    assert frechet_whitened(rows, rows + sd @ up) == pytest.approx(32, rel=1e-6)
    assert frechet_whitened(rows, rows.mean(0) + 2 * (rows - rows.mean(0))) == pytest.approx(32, rel=1e-6)


def test_the_study_of_images(tmp_path):
    """Digits: all keys of images, and figures of draws and of the prior's way."""
    options = {"data": ("digits",), "systems": ("vamp_vae",), "dim": 3, "limits": (0.0, 1.0)}
    run = genkit.run(genkit.config("latents.introspective", "tiny", options), out=tmp_path / "run")
    for score in ("frechet", *PROBES, "active", "elbo"):
        assert np.isfinite(run.results[f"{score}/digits/vamp_vae"])
    assert run.results["frechet/digits/floor"] < run.results["frechet/digits/vamp_vae"]
    assert {p.stem for p in (run.folder / "figures").glob("*.png")} == {"draws-digits", "priors-digits"}
    seen = priors_seen(run.folder / "parts" / "digits-vamp_vae-0")
    assert seen is not None and seen["means"].shape[1:] == (4, 3) and len(seen["means"]) >= 8
    assert seen["weights"].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"data": ("moons",)}, "unknown data 'moons'"), ({"systems": ("mog",)}, "unknown system 'mog'"),
     ({"steps": 100}, "mixture < warmup < steps"), ({"betas": (1.0,)}, "betas=")],
)  # fmt: skip
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        genkit.config("latents.introspective", "default", options)
