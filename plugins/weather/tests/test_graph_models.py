"""Forecasters on graphs: closed forms, rollouts, what they may know."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from genkit import metrics
from genkit.errors import DataError, UsageError
from genkit.nn import abstract, functional, parameter_count
from genkit_weather import lam
from genkit_weather.area.frame import interior_of
from genkit_weather.data import Series, WeatherData, statistics, truth
from genkit_weather.datasets.synthetic_advection import SyntheticAdvection
from genkit_weather.graphs import Mesh, messages, normalised, save
from genkit_weather.lam.graph import entries
from genkit_weather.models import CRPSLAM, PUBLISHED, Diffusion, GraphEFMRecipe, Snapshot
from genkit_weather.networks.conditioning import Sizes
from genkit_weather.networks.graph_denoiser import Fixed, GraphDenoiser, modulated, told
from genkit_weather.networks.graph_efm import GraphEFM, kl
from genkit_weather.networks.graph_lam import GraphLAM
from genkit_weather.networks.hi_lam import HiLAM
from genkit_weather.verification import latitude_weights


def grid(n):
    return np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).reshape(-1, 2)


def dataset(state, frame=(2, 2), **changes):
    h, w, v = state.shape[1:]
    time = np.datetime64("2020-03-01T00", "s") + np.arange(len(state)) * np.timedelta64(6, "h")
    forcing = np.random.default_rng(1).normal(size=(len(state), 1, 1, 1)).astype(np.float32)
    series = (Series(np.asarray(state, np.float32), forcing, time),)
    static = np.random.default_rng(2).normal(size=(h, w, 1)).astype(np.float32)
    names = tuple("ab"[:v])
    return WeatherData(series, series, series, static, frame, names, names, names, ("f",), ("s",), 6.0, **changes)


def noise(t=20, n=10, v=2):
    return np.random.default_rng(0).normal(size=(t, n, n, v)) * [1, 5][:v] + [3, 280][:v]


def test_parameter_counts():
    sizes = Sizes((27, 27), (0, 0), 2 * 17 + 15 + 4, 0, 0, 17)
    flat, two = (
        normalised(Mesh(k, strict=False).build(grid(27), (27, 27))) for k in ("rect_multiscale", "rect_hierarchical")
    )
    four = normalised(Mesh("rect_hierarchical", distance=1.5, refinement=2).build(grid(27)))
    assert four.levels == 4

    def count(network, graph):
        return parameter_count(abstract(lambda rngs: network.build(rngs, sizes, graph))[1])

    assert count(GraphLAM(), flat) == 214673 and count(GraphLAM(width=16, layers=2), flat) == 11441
    assert count(HiLAM(), two) == 874833 and count(HiLAM(), four) == 1961681
    assert count(GraphLAM(output_std=True), flat) == 214673 + 17 * 65
    with pytest.raises(UsageError, match="two levels"):
        count(HiLAM(), flat)
    with pytest.raises(UsageError, match="flat or multiscale"):
        count(GraphLAM(), two)


def bounds(lower, upper, mean, std):
    stats = statistics(dataset(noise(v=1)))
    stats = replace(stats, mean=np.float32([mean]), std=np.float32([std]))
    return lam.Limits.build(("a",), stats, lower, upper)


def test_bounded_updates():
    lower = bounds({"a": 0.0}, {}, 0.01, 0.004)
    assert float(lower.low[0]) == pytest.approx(-2.5)
    assert float(lower.advance(jnp.float32([-2]), jnp.float32([-1]))[0]) == pytest.approx(-2.285976939, abs=1e-6)
    both = bounds({"a": 0.0}, {"a": 1.0}, 0.7, 0.2)
    assert float(both.advance(jnp.float32([1.2]), jnp.float32([0.5]))[0]) == pytest.approx(1.313641214, abs=1e-6)
    upper = bounds({}, {"a": 0.0}, -0.01, 0.004)  # the mirror image of `lower`
    assert float(upper.advance(jnp.float32([2]), jnp.float32([1]))[0]) == pytest.approx(2.285976939, abs=1e-6)
    x = jnp.linspace(-2.4, 1.4, 9)[:, None]
    for limits in (lower, both, upper):
        np.testing.assert_allclose(limits.advance(x, 0 * x), x, atol=2e-6)
        for edge in (-2.5, 1.5, 2.5, -100.0, 100.0, 0.3):
            gradient = jax.grad(lambda x, limits=limits: limits.advance(x, 0.1 * x).sum())(jnp.full((1, 1), edge))
            assert np.isfinite(gradient).all(), edge
    assert lam.Limits.build(("a",), statistics(dataset(noise(v=1))), {}, {}) is None
    with pytest.raises(UsageError, match="bounds name"):
        bounds({"b": 0.0}, {}, 0.0, 1.0)


def test_divergence_and_density():
    assert float(kl(0.3, 0.5, -0.2)) == pytest.approx(0.4431471806, rel=1e-6)
    assert float(kl(1.0, 1.0, 0.0)) == pytest.approx(0.5, rel=1e-6)
    nll = entries("nll", jnp.float32(1.5), jnp.float32(2.0), jnp.float32(-0.5), 1.0, 1.0)
    assert float(nll) == pytest.approx(2.1120857138, rel=1e-6)
    assert float(entries("mse", 1.0, None, 4.0, 2.0, 4.0)) == pytest.approx(9)
    assert float(entries("mae", 1.0, None, 4.0, 2.0, 4.0)) == pytest.approx(3)


def test_weights_of_latitude_are_areas():
    lat = np.repeat(np.linspace(90, -90, 7)[:, None], 8, 1)
    data = dataset(np.zeros((3, 7, 8, 1)), (0, 0), lat=lat, lon=lat)
    edges = np.deg2rad(np.clip(np.linspace(105, -105, 8), -90, 90))
    area = -np.diff(np.sin(edges))
    np.testing.assert_allclose(latitude_weights(data)[:, 0], area / area.mean(), rtol=1e-10)
    with pytest.raises(UsageError, match="no latitudes"):
        latitude_weights(dataset(noise()))


DATA = dataset(noise())


def forecaster(network=None, formulation=None):
    domain = lam.domain_of(DATA, formulation or PUBLISHED)
    network = network or GraphLAM(mesh=Mesh("rect_flat", distance=3.0), width=6, layers=1, shared_embedder=True)
    graph = network.over(DATA)
    f, params = functional(network.build(nnx.Rngs(3), domain.formulation.sizes(DATA.layout), graph))
    return lam.GraphForecaster(f, params, graph, domain, None, network.output_std)


def test_a_predicted_deviation_never_underflows_to_zero():
    model, values = forecaster(), np.zeros((1, 2, 2, 4), np.float32)
    values[..., 2:] = [-200.0, 1.0]  # of softplus, which is 0 at -200 in float32
    inputs = lam.Inputs(*np.zeros((2, 1, 2, 2, 2), np.float32), None, None)
    _, std = lam.graph.apply_output(model.domain, None, inputs, values, True)
    np.testing.assert_allclose(std[0, 0, 0], [lam.graph.SMALLEST, np.log1p(np.exp(1.0))], rtol=1e-6)


def test_training_rollout_is_a_loop_of_steps_and_so_is_its_gradient():
    model = forecaster()
    window = lam.Windows(DATA.train, model.domain, 3).take(np.array([4, 0]))
    weight = jnp.array([1.0, 0.5])

    def by_hand(params):
        now, given = replace(model, params=params).prepared(), window.given
        before, prev, total = given.before, given.prev, 0.0
        for t in range(3):
            x, _ = now.predict(lam.Inputs(prev, before, given.frame[:, t : t + 3], given.forcing[:, t]))
            total += (weight * ((x - window.truth[:, t]) / model.domain.residual_std) ** 2).mean() / 3
            before, prev = prev, x
        return total

    value, gradient = jax.jit(
        jax.value_and_grad(lambda p: lam.graph_loss(replace(model, params=p), window, "mse", weight))
    )(model.params)
    expected, expected_gradient = jax.jit(jax.value_and_grad(by_hand))(model.params)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    for a, b in zip(*map(jax.tree.leaves, (gradient, expected_gradient)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    outlook = lam.Outlook.build(model.domain, DATA.test[0], [3, 11], 3)
    (_, states), *_ = lam.rollout(jax.random.key(0), model, outlook, 1)
    before, prev = outlook.before, outlook.prev
    step = jax.jit(lambda inputs: model.predict(inputs)[0])
    for lead in range(3):
        x = step(lam.Inputs(prev, before, outlook.frame[:, lead : lead + 3], outlook.forcing[:, lead]))
        before, prev = prev, x
        np.testing.assert_allclose(
            (states[:, lead, 0] - model.domain.mean) / model.domain.std, prev, rtol=1e-3, atol=1e-4
        )


def test_a_step_of_the_published_model_knows_nothing_of_the_time_it_predicts():
    model = forecaster()
    outlook = lam.Outlook.build(model.domain, DATA.test[0], [5], 2)

    def last(frame):
        states = outlook.before, outlook.prev
        for lead in range(2):
            x = model.step(
                None, lam.Inputs(states[1], states[0], frame[:, lead : lead + 3], outlook.forcing[:, lead]), None
            )
            states = states[1], x
        return states[1].sum()

    gradient = np.asarray(jax.jit(jax.grad(last))(jnp.asarray(outlook.frame)))
    assert (gradient[:, 3] == 0).all()  # the frame at the time of the second step
    assert (gradient[:, 2] != 0).any() and (gradient[:, 0] != 0).any()


def test_frame_told_its_future_needs_no_shared_embedder_and_bad_choices_are_refused():
    with pytest.raises(UsageError, match="choose guess=persistence and fill=False"):
        lam.Formulation(future=False)
    with pytest.raises(DataError, match="long enough for 40 steps"):
        lam.Windows(DATA.train, lam.domain_of(DATA, PUBLISHED), 40)
    with pytest.raises(UsageError, match="no frame from which"):
        lam.domain_of(dataset(noise(), (0, 0)), lam.Formulation())
    with pytest.raises(UsageError, match="same fields"):
        forecaster(formulation=lam.Formulation(fill=False))


def test_a_latent_variable_learns_two_futures():
    """X' = X +- a everywhere at once: members spread by a, coherent in space; the best single forecast errs by a."""
    rng = np.random.default_rng(0)
    a, n = 1.0, 6
    state = np.cumsum(a * rng.choice([-1, 1], 400))[:, None, None, None] + 0.01 * rng.normal(size=(400, n, n, 1))
    data = dataset(state, (0, 0))
    formulation = replace(PUBLISHED)
    domain = lam.domain_of(data, formulation)
    network = GraphEFM(mesh=Mesh("rect_flat", distance=2.0), width=12, latent=2, output_std=False)
    graph = network.over(data)
    f, params = functional(network.build(nnx.Rngs(0), formulation.sizes(data.layout), graph))
    model = lam.LatentForecaster(f, params, graph, domain, 2, deviation=False)

    windows, optimizer = lam.Windows(data.train, domain, 1), optax.adam(optax.cosine_decay_schedule(1e-2, 250))

    @jax.jit
    def train(params, opt, window, key, beta):
        def loss(p):
            how = lam.LatentWeights(1.0, 5.0)
            return lam.latent_loss(key, replace(model, params=p), window, how, jnp.ones(1))[0]

        updates, opt = optimizer.update(jax.grad(loss)(params), opt)
        return optax.apply_updates(params, updates), opt

    opt = optimizer.init(params)
    for i in range(250):
        window = windows.take(np.random.default_rng(i).integers(0, len(windows), 16))
        params, opt = train(params, opt, window, jax.random.key(i), 1.0)
    outlook = lam.Outlook.build(domain, data.test[0], list(range(5, 65, 3)), 1)
    (_, members), *_ = lam.rollout(jax.random.key(0), replace(model, params=params), outlook, 24)
    change = members[:, 0, :, :, :, 0] - state[5:65:3, None, :, :, 0]  # (start, member, y, x)
    spread = change.mean((2, 3)).std(1).mean()
    assert 0.7 * a < spread < 1.3 * a
    flat = change.reshape(-1, n * n)
    assert np.corrcoef(flat.T).min() > 0.9
    came = state[6:66:3, 0, 0, 0] - state[5:65:3, 0, 0, 0]
    assert float(metrics.crps(change[:, :, 2, 2].T, came)) < 0.85 * a


def test_drawn_members_have_the_variance_of_means_and_density():
    """Var x = Var_z E[x|z] + E_z Var[x|z]; bounds hold for draws too."""
    data = dataset(noise(6, 5, 1), (0, 0))
    domain = lam.domain_of(data, PUBLISHED)
    network = GraphEFM(mesh=Mesh("rect_flat", distance=2.0), width=8, latent=2)
    graph = network.over(data)
    f, params = functional(network.build(nnx.Rngs(0), PUBLISHED.sizes(data.layout), graph))
    mean = lam.LatentForecaster(f, params, graph, domain, 2).prepared()
    drawn, members = replace(mean, draws=True), 4000
    outlook = lam.Outlook.build(domain, data.test[0], [2] * members, 1)
    inputs = lam.Inputs(outlook.prev, outlook.before, outlook.frame[:, :3], outlook.forcing[:, 0])
    one, many = (np.asarray(m.step(jax.random.key(1), inputs, jnp.arange(members))) for m in (mean, drawn))
    std = mean.predict(inputs, jax.random.normal(jax.random.key(2), (len(graph.mesh[-1]), members, 2)))[1]
    assert many.var(0).mean() == pytest.approx((one.var(0) + np.square(std).mean(0)).mean(), rel=0.02)
    low = float(inputs.prev.min()) - 0.1
    bounded = replace(drawn, limits=lam.Limits(jnp.array([low]), jnp.array([jnp.inf])))
    x = np.asarray(bounded.step(jax.random.key(1), inputs, jnp.arange(members)))
    assert (x > low).all() and (x.std(0) > 0.01).all()  # none is left on the bound, from which nothing moves it
    with pytest.raises(UsageError, match="needs a decoder with a density"):
        GraphEFMRecipe(network=replace(network, output_std=False), draws=True)


def test_advection_is_learned_and_enters_through_the_frame():
    data = SyntheticAdvection(train=8, val=1, test=2).load()
    formulation = lam.Formulation("persistence", fill=False)
    domain = lam.domain_of(data, formulation)
    network = GraphLAM(mesh=Mesh("rect_flat", distance=30.0), width=16, layers=1)
    graph = network.over(data)
    f, params = functional(network.build(nnx.Rngs(0), formulation.sizes(data.layout), graph))
    model = lam.GraphForecaster(f, params, graph, domain)
    windows, steps = lam.Windows(data.train, domain, 1), 300
    rows = np.random.default_rng(0).integers(0, len(windows), (steps, 4))
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, steps))

    @jax.jit
    def train(params, every):
        def step(carry, rows):
            params, opt = carry
            window = jax.tree.map(lambda a: a[rows], every)
            gradient = jax.grad(lambda p: lam.graph_loss(replace(model, params=p), window, "mse", jnp.ones(1)))(params)
            updates, opt = optimizer.update(gradient, opt)
            return (optax.apply_updates(params, updates), opt), None

        return jax.lax.scan(step, (params, optimizer.init(params)), rows)[0][0]

    model = replace(model, params=train(params, windows.take(np.arange(len(windows)))))
    starts, leads = [2, 6, 10], 8
    outlook = lam.Outlook.build(domain, data.test[0], starts, leads)
    true = interior_of(truth(data.test[0], starts, range(leads + 1)), data.frame)

    def errors(given):
        (_, states), *_ = lam.rollout(jax.random.key(0), model, given, 1)
        return states[:, :, 0] - true[:, 1:]

    def rmse(error):
        return np.sqrt((error**2).mean((0, 2, 3, 4)))

    error, persistence = errors(outlook), rmse(true[:, 1:] - true[:, :1])
    assert rmse(error)[0] <= 0.5 * persistence[0]
    assert (rmse(error) < persistence).all()
    blind = errors(replace(outlook, frame=np.zeros_like(outlook.frame)))
    inflow = (slice(None), slice(None), slice(0, 8), slice(0, 8))  # the wind is from the first rows and columns
    assert rmse(blind[inflow])[3] > 1.5 * rmse(error[inflow])[3]


@pytest.mark.parametrize("kind", ["rect_flat", "rect_hierarchical"])
def test_norms_of_each_item(kind, monkeypatch):
    """A batch under the norms of its items is each item under its own; what the graph alone decides keeps its norms."""
    domain = lam.domain_of(DATA, lam.Formulation("persistence", fill=False))
    sizes = replace(domain.formulation.sizes(DATA.layout), latent=4)
    cond = lam.condition(domain, lam.Examples(DATA.train, domain).take(np.arange(2)).inputs)
    mesh = Mesh(kind, cells=2.0, levels=2 if "hier" in kind else None)
    module = GraphDenoiser(width=6, layers=1, embedding=8, mesh=mesh).build(nnx.Rngs(0), sizes)
    graph, norms = module.fixed.graph, told(nnx.state(module.network))
    assert not any("embedder" in str(path) or "mesh" in path for path, _ in norms)
    assert {"encoding_grid_mlp", "g2m_gnn", "m2g_gnn"} < {path[0] for path, _ in norms}  # and those of the mesh
    size = sum(leaf.shape[-1] for _, leaf in norms)
    added = jax.random.normal(jax.random.key(1), (2, size))
    both = jax.jit(lambda added, cond: modulated(module.network, added)(graph, cond))
    for item in range(2):
        alone, first = nnx.clone(module.network), 0
        for _, leaf in told(nnx.state(alone)):
            leaf.set_value(leaf[...] + added[item, first : first + leaf.shape[-1]])
            first += leaf.shape[-1]
        expected = alone(graph, jax.tree.map(lambda a, item=item: a[item : item + 1], cond))
        np.testing.assert_allclose(both(added, cond)[item], expected[0], rtol=1e-4, atol=1e-4)

    def gradient(block):
        monkeypatch.setattr(messages, "BLOCK", block)  # bytes of edges at a time in the gradient
        return jax.jit(jax.grad(lambda added: jnp.square(modulated(module.network, added)(graph, cond)).sum()))(added)

    np.testing.assert_allclose(gradient(500), gradient(2**30), rtol=1e-3, atol=1e-3)


def test_a_graph_network_denoises():
    domain = lam.domain_of(DATA, lam.Formulation("persistence", fill=False))
    sizes = domain.formulation.sizes(DATA.layout)
    options = GraphDenoiser(width=6, layers=1, embedding=8, mesh=Mesh("rect_flat", cells=3.0))
    f, params = functional(options.build(nnx.Rngs(0), sizes))
    batch = lam.Examples(DATA.train, domain).take(np.arange(2))
    cond = lam.condition(domain, batch.inputs)
    call = jax.jit(f)
    out = call(params, batch.truth, jnp.array([-1.0, 1.0]), cond)
    assert out.shape == batch.truth.shape
    same, other = call(params, batch.truth, jnp.array([-1.0, -1.0]), cond), call(params, batch.truth + 1, -1.0, cond)
    np.testing.assert_allclose(out[0], same[0], rtol=1e-5, atol=1e-6)
    assert float(jnp.abs(out[1] - same[1]).max()) > 1e-3 and float(jnp.abs(other - same).max()) > 1e-3
    with pytest.raises(UsageError, match="predicts no std"):
        GraphDenoiser(output_std=True)


@pytest.mark.parametrize("name", ["graph.npz", "graph"])  # a folder is that of Neural-LAM, in files of torch
def test_the_graph_of_a_denoiser_may_be_a_file(tmp_path, name):
    """As if it had made the mesh itself; the trained model keeps it, so that the file may go."""
    if name == "graph":
        pytest.importorskip("torch")
    mesh = Mesh("rect_flat", cells=6.0)
    save(mesh.over(DATA), tmp_path / name, "torch" if name == "graph" else "npz")
    by_mesh = GraphDenoiser(width=4, layers=1, hidden_layers=0, embedding=4, mesh=mesh)
    by_file = replace(by_mesh, graph=tmp_path / name)
    run = SimpleNamespace(key=lambda _: jax.random.key(0))
    formulation = lam.Formulation("persistence", fill=False)
    recipes = [replace(CRPSLAM(), network=n, latent=4, formulation=formulation) for n in (by_mesh, by_file)]
    one, other = (recipe.untrained(run, DATA) for recipe in recipes)
    assert other.network.component.graph is None and one.domain.graph is None and other.domain.graph.levels == 1
    params = jax.tree.map(lambda a: a + 0.2, one.params)
    inputs, z = lam.Examples(DATA.train, one.domain).take(np.arange(2)).inputs, jnp.ones((2, 4))
    predict = jax.jit(lambda model, params: replace(model, params=params).predict(inputs, z))
    expected = predict(one, params)
    np.testing.assert_allclose(predict(other, params), expected, rtol=1e-4, atol=1e-5)
    shifted = replace(other, domain=replace(other.domain, graph=jax.tree.map(
        lambda a: a + 1 if a.dtype == np.float32 else a, other.domain.graph)))  # fmt: skip
    assert float(jnp.abs(predict(shifted, params) - expected).max()) > 1e-3
    diffusions = [Diffusion(network=n, formulation=formulation) for n in (by_mesh, by_file)]
    plans = [d.plan(DATA.layout, 1)["parameters"] for d in diffusions]
    assert plans[0] == plans[1]
    larger = replace(DATA.layout, grid=(12, 12))
    for recipe in (recipes[1], diffusions[1]):
        with pytest.raises(DataError, match="the graph is for 36 grid nodes and 64 boundary nodes, .* has 64"):
            recipe.plan(larger, 1)
    with pytest.raises(UsageError, match="no graph file"):
        Snapshot(network=by_file)


def test_the_mesh_of_a_denoiser_is_measured_in_km_where_the_grid_is():
    sizes = replace(lam.Formulation().sizes(DATA.layout), grid=(13, 13), frame=(2, 2), spacing=10.0)
    by_km, by_cells = (
        Fixed(GraphDenoiser(mesh=Mesh("rect_flat", **how)), sizes) for how in ({"distance": 30.0}, {"cells": 3.0})
    )
    assert len(by_km.graph.mesh[0]) == 16
    for one, other in zip(jax.tree.leaves(by_km.graph), jax.tree.leaves(by_cells.graph), strict=True):
        np.testing.assert_array_equal(one, other)
