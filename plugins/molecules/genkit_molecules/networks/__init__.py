"""Networks on graphs and sequences."""
