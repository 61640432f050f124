"""Encoders: refine one stream, raw input or features."""
