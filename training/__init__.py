"""Training on the workstation: a Siamese encoder, its losses and sampling, its verifier."""
