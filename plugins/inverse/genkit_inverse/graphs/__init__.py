"""Graphical models whose log Z is wanted. Kind `graphs`.

An own one is a class,

    @dataclass(frozen=True)
    class Triangle:
        coupling: float = 1.0

        def load(self):
            same = self.coupling * np.eye(2)
            return factor_graph((2, 2, 2), [((0, 1), same), ((1, 2), same), ((2, 0), -same)])  # genkit.smc

and then `genkit run inverse.pgm --model my_module:Triangle`.
"""
