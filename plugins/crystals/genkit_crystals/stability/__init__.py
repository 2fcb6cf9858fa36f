"""What becomes of samples as structures: their energies above a hull, and whether they are new."""

from genkit_crystals.stability.candidates import Candidate, read_candidates, write_candidates
from genkit_crystals.stability.hull import Hull, Phase, is_table, read_hull
from genkit_crystals.stability.matching import known_structures
from genkit_crystals.stability.relaxing import relaxed_hull
from genkit_crystals.stability.scores import judged, scores

__all__ = [
    "Candidate",
    "Hull",
    "Phase",
    "is_table",
    "judged",
    "known_structures",
    "read_candidates",
    "read_hull",
    "relaxed_hull",
    "scores",
    "write_candidates",
]
