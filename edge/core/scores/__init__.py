"""From embeddings to a threshold: search, tau, error rates, the logistic head."""
