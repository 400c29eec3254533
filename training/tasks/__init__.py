"""What can be trained: an encoder, its fine-tuning, its int8 form, a logistic head."""
