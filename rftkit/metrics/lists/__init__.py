"""What the scores of a closed list's answers say: which is likeliest, and how far to trust it."""
