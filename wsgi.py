"""The app as a WSGI server finds it."""

from bff import create_app
from config import Config

app = create_app(Config.from_env())
