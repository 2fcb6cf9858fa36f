"""Recipes and what they train."""
