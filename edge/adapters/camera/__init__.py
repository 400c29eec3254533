"""The camera: where frames come from, the thread that reads them, and the picture's health."""
