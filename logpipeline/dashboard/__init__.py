"""Dashboard: the web page."""
