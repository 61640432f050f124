"""Uncertainty methods: how sure a prediction is."""
