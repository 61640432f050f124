"""What plugin authors test with: `conformance` holds a component against the contract, `scaffold` begins a package.

Tests of fusionkit itself are in `tests/`; recorded results of published networks are in `conversion.verification`.
"""
