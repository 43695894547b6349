"""The second door: reports as HL7 version 2 messages over MLLP.

server → framing (bytes → messages) → keep (files, rows) → acknowledgment
"""
