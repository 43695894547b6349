"""How model files run: one module per runtime, found by entry point ``wetread.backends``."""
