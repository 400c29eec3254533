"""The commands of `ostiary-fleet`: each file has those of one subject."""
