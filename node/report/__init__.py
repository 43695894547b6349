"""Report documents → text and what it belongs to, from every form they come in.

Each reader is pure: bytes in, `node.reports.ReportDocument` or text out, bounded in time and
memory. No message of an error holds what the document says.
"""
