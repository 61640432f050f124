"""Cases from files: description, reading, checks, splits and preprocessing.

Nothing here depends on a network: `signature` describes what one needs. Example cohorts live in `datasets`.
"""
