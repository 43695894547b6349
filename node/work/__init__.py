"""The work between the two doors: plan, infer, encode, deliver, each step durable."""
