"""From scores to a decision: the rights of a subject, and the policy."""
