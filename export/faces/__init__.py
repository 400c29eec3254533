"""The faces that encoders are measured on: crops, pairs, open-set identification."""
