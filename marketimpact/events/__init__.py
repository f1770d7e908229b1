"""Combine announcements, securities and calendars into events with a day 0."""
