"""The commands of `ostiary-fleet`, a file a group."""
