"""Everything is killed, filled up, cut off or moved, and nothing may be lost or come twice.

``python -m tests.crash`` runs all of it; the tests here run a small, fixed part.
"""
