"""What kinds of models mean: one module per task, found by entry point ``wetread.tasks``."""
