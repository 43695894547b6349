"""What a pool is made of: turns, loaded models, limits, and what a failure leads to."""
