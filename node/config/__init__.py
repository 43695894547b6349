"""The configuration: one YAML file, checked as a whole, never changed while it is in use."""
