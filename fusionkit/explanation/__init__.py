"""Looking inside a trained network: where it looks, how it sees the cases, and how much each modality counts."""
