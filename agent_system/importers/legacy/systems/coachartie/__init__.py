"""Seed 003: coachartie.db of Coach Artie, with and without the columns that came later."""
