"""Bytes from strangers: what must hold of any of them.

`targets` says what; the tests here try some thousands of inputs that are the same each time,
``make fuzz`` a million or more that a coverage-guided fuzzer finds.
"""
