"""The commands of `ostiary-train`."""
