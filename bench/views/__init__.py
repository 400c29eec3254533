"""What the door sees of pictures made for it: people far away, crowds, and covered faces."""
