"""What plugin authors test with: the conformance kit, random graphs, and the start of a package.

Tests of fusionkit itself are in `tests/`. Recorded results of published networks are in `conversion.verification`.
"""
