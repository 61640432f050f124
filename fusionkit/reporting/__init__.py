"""The report of a run or of a comparison: one page, a checklist and a model card, from the files of its folder.

Everything is read from files; nothing is predicted or measured here. What the files do not say is not guessed.
"""
