"""Training on the workstation: encoders, their losses and batches, and the logistic head."""
