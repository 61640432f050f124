"""Bundled training methods: what changes losses and gradients between the forward pass and the change of weights."""
