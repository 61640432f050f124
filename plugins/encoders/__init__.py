"""Encoders: process one modality, raw input or features."""
