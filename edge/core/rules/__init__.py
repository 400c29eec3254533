"""From scores to a decision: who may pass here and now, and the policy."""
