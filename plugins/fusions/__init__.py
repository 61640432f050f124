"""Fusions: several streams into one, or an exchange between them. One file, one component."""
