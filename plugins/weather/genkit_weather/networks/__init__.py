"""Networks of the weather plugin."""
