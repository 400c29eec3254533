"""What light, lens and camera do to the score of a face: photos are spoilt in graded steps."""
