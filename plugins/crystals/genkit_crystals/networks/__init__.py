"""Networks on the Wyckoff positions of a crystal."""
