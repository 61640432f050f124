"""What explanations of a trained network share: the view of a run, feature maps, cases, and the choice of methods.

The methods themselves are plugins, in `plugins/explanations`. Runs are opened in `runs`. Metrics for missing inputs are
in `evaluation`.
"""
