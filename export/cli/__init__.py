"""The commands of `ostiary-export`."""
