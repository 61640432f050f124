"""Cases from files: what a run learns from, described, read, checked, divided and prepared.

Nothing here knows a network: `signature` says what one needs. Cohorts that fusionkit makes itself live in `datasets`.
"""
