"""From a camera's pictures to whether they can be believed: recurring, covered, moved."""
