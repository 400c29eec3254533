"""What a trained encoder is worth, on people it has never seen."""
