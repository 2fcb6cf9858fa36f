"""What becomes of samples as structures: their energies above a hull, and whether they are new."""

from genkit_crystals.stability.candidates import Candidate, read_candidates, write_candidates
from genkit_crystals.stability.hull import Hull, Phase, read_hull
from genkit_crystals.stability.matching import known_structures
from genkit_crystals.stability.relaxing import open_hull
from genkit_crystals.stability.scores import judged, scores

__all__ = [
    "Candidate",
    "Hull",
    "Phase",
    "judged",
    "known_structures",
    "open_hull",
    "read_candidates",
    "read_hull",
    "scores",
    "write_candidates",
]
