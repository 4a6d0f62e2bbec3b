"""Zip and tar archives: what is in them, unpacked within limits."""
