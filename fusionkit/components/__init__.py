"""What a component declares: its kind, options, rule, source, and what its module must offer.

No component lives here: the bundled ones are plugins like any other. `registry` knows which are installed.
"""
