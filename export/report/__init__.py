"""Reports for people: HTML pages and their charts."""
