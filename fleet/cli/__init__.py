"""The commands of `ostiary-fleet`, one file for each subject."""
