"""Categorical processes: D3PM, masked diffusion, jump processes, flow matching, order-agnostic autoregression.

x holds classes as int32, (n, ...) or a pytree of such parts; a denoiser answers with logits of x_0, (n, ..., K).

    from genkit.discrete import Ancestral, Linear, masked, masked_loss, sample

    process = masked(20, Linear())                             # 20 classes and a mask symbol
    loss = masked_loss(key, denoiser, x0, None, process)       # nats an item, a bound on -log p
    x = sample(key, Ancestral(process, steps=64), denoiser, (16, 100))

| process | noise |
|---|---|
| `uniform`, `marginal`, `absorbing` | draws from all classes, from their marginal law, leaves one of them |
| `masked` | hides sites behind a symbol that data have not |
| `discretised_gaussian`, `dense` | moves ordinal classes to near ones; any matrices |

each on a schedule in continuous time (`Linear`, `Cosine`; t from 0, data, to 1) or in steps (`steps(alphas)`; t is the
step, as a float).

| sampler | step |
|---|---|
| `Ancestral` | posterior of the process: D3PM, MDLM, UDLM, the analytic sampler of jump processes |
| `Euler`, `TauLeaping` | jump rates held constant |
| `FlowMatching` | masks, with sites hidden again at a rate eta |
| `Remasking` | the posterior for masks, with sites hidden again with a probability |
| `OrderAgnostic` | sites in random order (uniform, another law of `Orders`, or a learned one), one or a few a step |

Each is a chain of `genkit.chain.Kernel`s with `log_prob`; its particles carry the state and log p(x_0 | x_t), those of
`OrderAgnostic` their order too. `Inpaint` holds given sites of an `Ancestral` chain.
`ClassifierFree` and `Predictor` turn a denoiser into a guided one for all but `OrderAgnostic`. By default logits are
multiplied by what a site's own noisy value says of it (`Process.likelihood`).
"""

from genkit.discrete.ancestral import Ancestral
from genkit.discrete.autoregressive import (
    OrderAgnostic,
    OrderedParticle,
    Reveal,
    order_agnostic_loss,
    parallel_budget,
    ranks,
)
from genkit.discrete.conditioned import conditioned
from genkit.discrete.ctmc import Euler, TauLeaping
from genkit.discrete.d3pm import d3pm_loss, d3pm_terms, prior_kl
from genkit.discrete.factorised import Denoiser, Interval, Particle, Posterior, PyTree, Setting, Step
from genkit.discrete.flow_matching import FlowMatching
from genkit.discrete.guidance import ClassifierFree, Predictor
from genkit.discrete.inpainting import Inpaint
from genkit.discrete.learned_order import learned_order_loss
from genkit.discrete.masked import hidden_nll, masked_loss
from genkit.discrete.orders import ANY_ORDER, LEARNED_ORDER, AnyOrder, LearnedOrder, Ordered, Orders
from genkit.discrete.process import Process
from genkit.discrete.product import Product, times
from genkit.discrete.random import categorical, stratified
from genkit.discrete.remasking import Remasking
from genkit.discrete.sample import sample
from genkit.discrete.schedule import Cosine, Linear, Steps, cosine_steps, float_time, steps
from genkit.discrete.transitions import (
    Dense,
    Mixing,
    absorbing,
    dense,
    discretised_gaussian,
    marginal,
    masked,
    uniform,
)

__all__ = [
    "ANY_ORDER",
    "LEARNED_ORDER",
    "Ancestral",
    "AnyOrder",
    "ClassifierFree",
    "Cosine",
    "Denoiser",
    "Dense",
    "Euler",
    "FlowMatching",
    "Inpaint",
    "Interval",
    "LearnedOrder",
    "Linear",
    "Mixing",
    "OrderAgnostic",
    "Ordered",
    "OrderedParticle",
    "Orders",
    "Particle",
    "Posterior",
    "Predictor",
    "Process",
    "Product",
    "PyTree",
    "Remasking",
    "Reveal",
    "Setting",
    "Step",
    "Steps",
    "TauLeaping",
    "absorbing",
    "categorical",
    "conditioned",
    "cosine_steps",
    "d3pm_loss",
    "d3pm_terms",
    "dense",
    "discretised_gaussian",
    "float_time",
    "hidden_nll",
    "learned_order_loss",
    "marginal",
    "masked",
    "masked_loss",
    "order_agnostic_loss",
    "parallel_budget",
    "prior_kl",
    "ranks",
    "sample",
    "steps",
    "stratified",
    "times",
    "uniform",
]
