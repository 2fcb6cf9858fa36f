"""Models of the inverse plugin: recipes."""
