"""Small heads on the models of a bundle, each in a JSON file with the evidence for it."""
