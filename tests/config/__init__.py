"""The configuration file: what is accepted, and what is said about the rest."""
