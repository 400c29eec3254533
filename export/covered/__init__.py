"""The head that tells covered faces from bare ones: covers drawn, fitted, recorded, judged."""
