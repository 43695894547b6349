"""When a study is complete and what is done with it; pure functions of what was received."""
