"""What every manager is made of: the verbs, and the pieces that read, check and write the rows of one table."""
