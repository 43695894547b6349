"""The other door: results to their destinations, and what each destination said."""
