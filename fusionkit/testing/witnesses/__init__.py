"""Programs that import an author's code in a separate process and record what it does.

Nothing heavy is imported here, so that everything a witness records comes from the author's code. `packages` checks
the records.
"""
