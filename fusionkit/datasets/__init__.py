"""Cohorts that fusionkit writes as files: organ cubes of one CT, a synthetic cohort, and the breast-cancer tables.

They are read like anybody's data, by `data`. The demonstrations that train on them live in `cli`.
"""
