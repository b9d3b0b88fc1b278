"""The HTTP side: the only room that knows Flask, flask-smorest and marshmallow."""
