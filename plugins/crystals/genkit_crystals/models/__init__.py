"""What is learned of crystals: recipes, trained models, and what can be asked of them."""

from genkit_crystals.models.conditions import SYSTEMS, Conditions, require_group, system_of
from genkit_crystals.models.critics import Corrected, Steered
from genkit_crystals.models.encoder import Encoder, WrenformerEncoder
from genkit_crystals.models.generator import WyckoffDiffusion
from genkit_crystals.models.request import CHUNK, Draw, labels
from genkit_crystals.models.trained import CrystalModel

__all__ = [
    "CHUNK",
    "SYSTEMS",
    "Conditions",
    "Corrected",
    "CrystalModel",
    "Draw",
    "Encoder",
    "Steered",
    "WrenformerEncoder",
    "WyckoffDiffusion",
    "labels",
    "require_group",
    "system_of",
]
