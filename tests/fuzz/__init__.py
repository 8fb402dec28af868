"""Fuzz: hostile input by the thousand, and the promises that must hold under it (make fuzz)."""
