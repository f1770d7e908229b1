"""Positions of day 0, design matrices, fits and abnormal returns; chunks of events over an executor."""
