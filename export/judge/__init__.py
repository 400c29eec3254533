"""What int8 costs in recognition, and whether an encoder reads its input as it was trained."""
