"""The head that tells upright faces from turned ones: fitted on faces, recorded, and judged."""
