"""One blueprint per noun; each module has `blueprint(stub)`."""
