"""The commands of `ostiary`, a file a group."""
