"""Search: from what somebody typed to what both engines look for, and from what they found to ranked hits."""
