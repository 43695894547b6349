"""The door: who may associate, what is admitted, and when success is answered."""
