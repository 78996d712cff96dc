"""Personal data: where it is, how somebody is forgotten, and how they get all that is theirs."""
