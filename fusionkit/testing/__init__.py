"""Tools for plugin authors: the conformance kit, random graphs, and the scaffold of a package.

Tests of fusionkit itself are in `tests/`. Recorded results of published networks are in `conversion.verification`.
"""
