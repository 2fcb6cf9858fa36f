"""Training: the loop, the usual step, optimisers, checkpoints, loggers."""

from genkit.train import checkpoint
from genkit.train.checkpoint import latest, metadata, restore, save
from genkit.train.errors import Interrupted, NonFiniteLoss
from genkit.train.fit import fit
from genkit.train.learn import learn
from genkit.train.loggers import JsonLines, Mlflow, Tensorboard, Wandb
from genkit.train.optimizers import AdamW, Muon
from genkit.train.phase import Phase, finished, load
from genkit.train.progress import Show
from genkit.train.step import TrainState, ema_decay, make_step

__all__ = [
    "AdamW",
    "Interrupted",
    "JsonLines",
    "Mlflow",
    "Muon",
    "NonFiniteLoss",
    "Phase",
    "Show",
    "Tensorboard",
    "TrainState",
    "Wandb",
    "checkpoint",
    "ema_decay",
    "finished",
    "fit",
    "latest",
    "learn",
    "load",
    "make_step",
    "metadata",
    "restore",
    "save",
]
