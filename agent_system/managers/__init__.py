"""One manager per entity over one shared core: the verbs that read and write the tables.

`core` holds what all managers share; every other folder is one family of tables.
"""
