"""The commands of `ostiary`, one file for each group."""
