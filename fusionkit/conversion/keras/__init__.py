"""Weights of Keras: reading its files without Keras, and matching their layer names with those of a release.

The layers themselves are plugins. Code in PyTorch needs nothing from here.
"""

from fusionkit.conversion.keras.layers import arranged
from fusionkit.conversion.keras.reading import KERAS_SUFFIXES, read_keras

__all__ = ["KERAS_SUFFIXES", "arranged", "read_keras"]
