"""Commands, one a file."""

from genkit_representations.commands.encode import Encode
from genkit_representations.commands.prototypes import Prototypes

__all__ = ["Encode", "Prototypes"]
