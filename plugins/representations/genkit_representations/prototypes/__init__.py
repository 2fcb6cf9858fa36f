"""Self-distillation with prototypes."""
