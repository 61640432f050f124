"""The former place of `fusionkit.conversion.verification`.

`python -m fusionkit.testing.golden` still works. Nothing else lives here.
"""
