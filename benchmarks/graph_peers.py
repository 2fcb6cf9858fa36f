"""Graph-LAM beside plain torch layers (index_select, index_add) with the same weights and graph, on the CPU:

    genkit bench benchmarks.graph_peers:GraphPeers

needs torch and the plugin weather. `lam27` and `lam81` are grids of 27 x 27 and 81 x 81 cells with a frame of 1 and 3,
the classic graph, 17 variables, 15 forcing and 4 static fields, width 64, 4 rounds of messages, batch 1, float32.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.noise import LEADS, graphs, weather
from genkit.bench import Row, Timed, compiled
from genkit.errors import GenkitError
from genkit.nn import functional
from genkit_weather import lam
from genkit_weather.graphs import Graph, Mesh
from genkit_weather.lam import unroll
from genkit_weather.models import PUBLISHED
from genkit_weather.networks import GraphLAM
from genkit_weather.neural_lam import import_neural_lam_weights

MEMBERS, H, P = 10, 64, 4
ADAMW = {"b1": 0.9, "b2": 0.95, "weight_decay": 0.01}


def torch_graph_lam(graph: Graph, inputs: int, outputs: int) -> Any:
    """The published network as one would write it: concatenate at the edges, one row an edge, sum by index_add."""
    import torch
    from torch import nn

    def mlp(a: int, out: int = H, norm: bool = True) -> nn.Sequential:
        layers = [nn.Linear(a, H), nn.SiLU(), nn.Linear(H, out), *([nn.LayerNorm(out)] if norm else [])]
        return nn.Sequential(*layers)

    def ends(edges: Any) -> list[torch.Tensor]:
        return [torch.as_tensor(np.array(e)).long() for e in (edges.senders, edges.receivers)]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.edge_mlp, self.aggr_mlp = mlp(3 * H), mlp(2 * H)

        def forward(self, ends: Any, e: Any, send: Any, receive: Any) -> Any:
            parts = e, send.index_select(0, ends[0]), receive.index_select(0, ends[1])
            m = self.edge_mlp(torch.cat(parts, -1))
            a = torch.zeros_like(receive).index_add(0, ends[1], m)
            return receive + self.aggr_mlp(torch.cat([receive, a], -1)), e + m

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.grid_embedder, self.mesh_embedder = mlp(inputs), mlp(2)
            self.g2m_embedder, self.m2g_embedder, self.m2m_embedder = mlp(3), mlp(3), mlp(3)
            self.g2m_gnn, self.m2g_gnn = Net(), Net()
            self.encoding_grid_mlp, self.output_map = mlp(H), mlp(H, outputs, norm=False)
            self.processor = nn.Module()
            for i in range(P):
                self.processor.add_module(f"module_{i}", Net())
            self.ends = {name: ends(edges) for name, edges in graph.sets.items()}
            self.features = {name: torch.as_tensor(np.array(e.features)) for name, e in graph.sets.items()}
            self.places = torch.as_tensor(np.array(graph.mesh[0]))

        def forward(self, x: Any) -> Any:
            h, mesh, ends, features = self.grid_embedder(x), self.mesh_embedder(self.places), self.ends, self.features
            mesh, _ = self.g2m_gnn(ends["g2m"], self.g2m_embedder(features["g2m"]), h, mesh)
            h, e = h + self.encoding_grid_mlp(h), self.m2m_embedder(features["m2m/0"])
            for layer in self.processor.children():
                mesh, e = layer(ends["m2m/0"], e, mesh, mesh)
            h, _ = self.m2g_gnn(ends["m2g"], self.m2g_embedder(features["m2g"]), mesh, h)
            return self.output_map(h)

    torch.manual_seed(0)
    return Model()


@dataclass(frozen=True)
class GraphPeers:
    """Training steps of 1 and 4 steps, a rollout of 19 steps, an ensemble of 10 of them."""

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """Greatest difference of the outputs first, then both times."""
        try:
            import torch
        except ImportError as error:
            raise GenkitError("graph_peers needs torch; pip install torch") from error
        torch.set_num_threads(2)
        for shape in ((268, 238), (1000, 1000))[: 1 if profile == "smoke" else 2]:
            places = np.stack(np.meshgrid(*(np.arange(float(size)) for size in shape[::-1])), -1).reshape(-1, 2)
            mesh = Mesh("rect_hierarchical", strict=False)
            yield Timed(f"graph of {len(places)} nodes", lambda m=mesh, p=places, s=shape: m.build(p, s).g2m.senders)
        for n, frame in ((27, 1),) if profile == "smoke" else ((27, 1), (81, 3)):
            yield from self._size(f"lam{n}", n, frame)

    def _size(self, name: str, n: int, frame: int) -> Iterator[Row | Timed]:
        import torch

        data = weather(n, frame)
        domain = lam.domain_of(data, PUBLISHED)
        whole, graph, inside, outside = graphs(n, frame)
        network, params = functional(
            GraphLAM(shared_embedder=True).build(nnx.Rngs(0), PUBLISHED.sizes(data.layout), graph)
        )
        peer = torch_graph_lam(whole, 2 * 17 + 15 + 4, 17)
        params = import_neural_lam_weights(params, peer.state_dict())
        model = lam.GraphForecaster(network, params, graph, domain)
        windows = {t: lam.Windows(data.train, domain, t).take(np.array([0])) for t in (1, 4, LEADS)}
        given = windows[LEADS].given
        inner = torch.zeros(n * n, 1)
        inner[torch.as_tensor(inside)] = 1.0

        def fields(window: lam.Window, t: int) -> tuple[Any, Any, Any]:
            """States at -1..t, forcing of each step, static: on all nodes in torch's order."""
            state = np.zeros((t + 2, n * n, 17), np.float32)
            state[:, outside] = np.asarray(window.given.frame)[0, : t + 2]
            steps = [window.given.before, window.given.prev, *np.moveaxis(np.asarray(window.truth)[:, :t], 1, 0)]
            state[:, inside] = np.stack([np.asarray(s)[0].reshape(-1, 17) for s in steps])
            forcing = np.asarray(window.given.forcing)[0, :t].reshape(t, n * n, -1)
            static = np.asarray(domain.static).reshape(n * n, -1)
            return tuple(torch.as_tensor(np.array(a)) for a in (state, forcing, static))

        mean, std = (torch.as_tensor(np.array(a)) for a in (domain.residual_mean, domain.residual_std))

        def by_torch(state: Any, forcing: Any, static: Any) -> list[Any]:
            before, now, out = state[0], state[1], []
            for t in range(len(forcing)):
                x = now + std * peer(torch.cat([now, before, forcing[t], static], -1)) + mean
                before, now = now, inner * x + (1 - inner) * state[t + 2]
                out.append(now)
            return out

        told = fields(windows[LEADS], LEADS)

        def theirs() -> Any:
            with torch.no_grad():
                return torch.stack(by_torch(*told))

        program, seconds = compiled(f"{name} rollout", rollout, model, given)
        yield seconds
        ours = np.asarray(program(model, given))[:, 0].reshape(LEADS, -1, 17)
        difference = float(np.abs(ours[:3] - theirs().numpy()[:3, inside]).max())
        yield Row(f"{name}: greatest difference over 3 steps", difference, "", 0.0, 1e-4, "torch, same weights")
        yield Timed(f"{name}, rollout of {LEADS} steps", lambda: program(model, given), {}, ("torch", theirs))

        many = jax.tree.map(lambda a: np.repeat(a, MEMBERS, 0), given)
        batch, seconds = compiled(f"{name} ensemble", rollout, model, many)
        yield seconds
        one_by_one = lambda: [theirs() for _ in range(MEMBERS)]  # noqa: E731
        yield Timed(f"{name}, {MEMBERS} members", lambda: batch(model, many), {}, ("torch", one_by_one))

        optimizer = optax.adamw(1e-3, **ADAMW)
        start = {name: value.clone() for name, value in peer.state_dict().items()}
        for t in (1, 4):
            window = windows[t]

            def step(params: Any, opt: Any, window: Any) -> Any:
                def loss(p: Any) -> Any:
                    return lam.graph_loss(replace(model, params=p), window, "mse", jnp.ones(17))

                value, gradient = jax.value_and_grad(loss)(params)
                updates, opt = optimizer.update(gradient, opt, params)
                return value, optax.apply_updates(params, updates), opt

            args = params, optimizer.init(params), window
            train, seconds = compiled(f"{name} train {t}", step, *args)
            yield seconds
            peer.load_state_dict(start)
            torch_optimizer = torch.optim.AdamW(peer.parameters(), 1e-3, (0.9, 0.95), weight_decay=0.01)
            known = fields(window, t)

            def torch_step(known: Any = known, optimizer: Any = torch_optimizer) -> float:
                optimizer.zero_grad()
                error = (torch.stack(by_torch(*known)) - known[0][2:]) / std
                loss = error[:, torch.as_tensor(inside)].square().mean()
                loss.backward()
                optimizer.step()
                return loss.item()

            value, reference = float(train(*args)[0]), torch_step()
            yield Row(f"{name}: loss of {t} steps", value, "", reference, 1e-3, "torch, same weights")
            yield Timed(
                f"{name}, train step of {t}",
                lambda train=train, args=args: train(*args),
                {},
                ("torch", torch_step),
            )


def rollout(model: Any, given: Any) -> Any:
    """(L, n, h, w, V) standardised states, without gradient."""
    model = model.prepared()

    def step(inputs: lam.Inputs) -> tuple[Any, Any]:
        x = model.predict(inputs)[0]
        return x, x

    return unroll(step, given)
