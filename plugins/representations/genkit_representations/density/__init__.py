"""Densities of features."""
