"""Metrics, manifolds and geodesics."""
