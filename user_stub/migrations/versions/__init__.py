"""One module per version; its name begins with the version."""
