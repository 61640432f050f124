"""Layouts of tensors, the notation of rules, and which rows are present.

No module is run here. The rule of a component is held against its module by `network` and `testing`.
"""
