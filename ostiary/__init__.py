"""Face recognition for door controllers; `edge`, `export`, `fleet` and `training` are its parts."""

__version__ = "0.1.0"
