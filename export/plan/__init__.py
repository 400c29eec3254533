"""What is to be built, from which sources, with which options."""
