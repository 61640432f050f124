"""Damages graphs, tables, images and runs at random, and reports what fusionkit neither takes nor refuses well.

`python -m tools.fuzz KIND` runs it. Each kind is a module with `prepare(material)`, which makes once what its cases
start from, and `make(draw, material, folder)`, which writes one case and gives its steps.
"""
