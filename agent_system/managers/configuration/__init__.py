"""Capabilities, settings and feature flags."""
