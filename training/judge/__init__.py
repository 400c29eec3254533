"""Evaluates trained encoders and heads on people they have never seen."""
