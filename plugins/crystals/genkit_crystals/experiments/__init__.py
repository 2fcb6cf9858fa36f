"""Experiments with crystals."""
