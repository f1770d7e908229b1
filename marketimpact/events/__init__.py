"""Announcements, securities and calendars become events with a day 0."""
