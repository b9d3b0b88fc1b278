"""What gunicorn serves: `gunicorn -c user_stub/gunicorn_conf.py user_stub.wsgi:app`."""

import logging

from config import UserServiceConfig
from user_stub import create_app

_config = UserServiceConfig.from_env()
logging.basicConfig(
    level=_config.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
)
app = create_app(_config)
