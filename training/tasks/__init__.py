"""The kinds of training: an encoder, a fine-tuned encoder, its int8 form, a logistic head."""
