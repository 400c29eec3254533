"""The plan of a build: recipe, sources of the weights, options."""
