"""One manager per entity over one shared base: the verbs that read and write the tables."""
