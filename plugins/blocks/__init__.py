"""Code that several components share: transformer blocks, splines, wavelets, Keras conventions. No components."""
