"""Web archives: WARC files and what is made of them, read record by record.

Needs fastwarc (extra `sources`).
"""
