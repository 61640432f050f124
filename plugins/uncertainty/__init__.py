"""Uncertainty methods: estimate the uncertainty of predictions."""
