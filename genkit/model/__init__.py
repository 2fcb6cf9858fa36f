"""Trained models as things of their own: recipes train them, folders keep them, commands use them.

A recipe is a frozen dataclass of options with `fit`; what it gives is a `Trained`, a pytree of arrays with what
explains them. A run saves it in its folder `model/`, which can be copied anywhere:

    model = genkit.load_model("runs/x")          # needs neither the experiment nor the data
    model.sample(jax.random.key(0), 16)
    model.save("somewhere/else")
"""

from genkit.model.checkpoints import read_checkpoint, torch_file
from genkit.model.critic import Critic, CriticRecipe, Labelled, LogYes, divided, learn_critic, log_odds
from genkit.model.diffusion import Diffusion, Draw, measured
from genkit.model.digest import digest
from genkit.model.files import Origin, Page, find, has_model, load, located, read, save
from genkit.model.formats import Format, named
from genkit.model.recipe import Recipe, recipe_of
from genkit.model.request import CSV, NPZ, Piece, Request, arrays_in, joined, request_of
from genkit.model.trained import Trained

__all__ = [
    "CSV",
    "NPZ",
    "Critic",
    "CriticRecipe",
    "Diffusion",
    "Draw",
    "Format",
    "Labelled",
    "LogYes",
    "Origin",
    "Page",
    "Piece",
    "Recipe",
    "Request",
    "Trained",
    "arrays_in",
    "digest",
    "divided",
    "find",
    "has_model",
    "joined",
    "learn_critic",
    "load",
    "located",
    "log_odds",
    "measured",
    "named",
    "read",
    "read_checkpoint",
    "recipe_of",
    "request_of",
    "save",
    "torch_file",
]
