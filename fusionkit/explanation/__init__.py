"""Explaining a trained network: Grad-CAM, t-SNE, gates, and the share of each modality.

Runs are opened in `runs`, and cases are read in `data`. Metrics for missing inputs are in `evaluation`.
"""
