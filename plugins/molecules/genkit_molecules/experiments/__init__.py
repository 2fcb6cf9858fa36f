"""Experiments on molecules and sequences."""
