"""What a component declares: its kind, options, rule, source, and what its module must offer.

No component lives here: bundled ones are plugins like everybody's. Which are installed is known to `registry`.
"""
