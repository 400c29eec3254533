"""The camera: its sources, the thread that reads them, and checks of the pictures."""
