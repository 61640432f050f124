"""Bundled explanations: Grad-CAM, t-SNE, gates and Shapley values of the inputs."""
