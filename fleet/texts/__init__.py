"""What an operator types and reads: dates, hours of the week, a person as shown."""
