"""Enrolls people: reads photos and tables, and checks them before they enter the registry."""
