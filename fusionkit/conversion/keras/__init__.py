"""Weights of Keras: its files read without Keras, and the names of their layers as a release has them.

The layers themselves are plugins. Releases of PyTorch code need nothing from here.
"""

from fusionkit.conversion.keras.layers import arranged
from fusionkit.conversion.keras.reading import KERAS_SUFFIXES, read_keras

__all__ = ["KERAS_SUFFIXES", "arranged", "read_keras"]
