"""The losses of the literature, and the choice of triplets."""
