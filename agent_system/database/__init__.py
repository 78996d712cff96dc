"""The engine room: connections, transactions, group commit and migrations; it knows no table."""
