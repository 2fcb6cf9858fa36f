"""What is learned: recipes of generators and of their critics, and what they give."""
