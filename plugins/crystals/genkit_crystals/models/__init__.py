"""What is learned of crystals: recipes, trained models, and what can be asked of them."""
