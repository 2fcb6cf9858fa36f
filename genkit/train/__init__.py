"""Training: the loop, the usual step, optimisers, checkpoints, loggers."""

from genkit.train.checkpoint import latest as latest
from genkit.train.checkpoint import metadata as metadata
from genkit.train.checkpoint import restore as restore
from genkit.train.checkpoint import save as save
from genkit.train.errors import Interrupted as Interrupted
from genkit.train.errors import NonFiniteLoss as NonFiniteLoss
from genkit.train.fit import fit as fit
from genkit.train.learn import learn as learn
from genkit.train.loggers import JsonLines as JsonLines
from genkit.train.loggers import Tensorboard as Tensorboard
from genkit.train.optimizers import AdamW as AdamW
from genkit.train.optimizers import Muon as Muon
from genkit.train.phase import Phase as Phase
from genkit.train.phase import finished as finished
from genkit.train.phase import load as load
from genkit.train.step import TrainState as TrainState
from genkit.train.step import ema_decay as ema_decay
from genkit.train.step import make_step as make_step
