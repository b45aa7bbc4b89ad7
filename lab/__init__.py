"""The worlds the hook is tried in. It never imports ``hook``, and ``hook`` never imports it."""
