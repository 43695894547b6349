"""When a study is complete and what is to be done with it; pure functions of what the index holds."""
