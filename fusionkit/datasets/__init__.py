"""Example cohorts written as files: organ cubes of one CT, a synthetic cohort, and the breast-cancer tables.

They are read by `data` like any other cohort. The demonstrations that train on them live in `cli`.
"""
