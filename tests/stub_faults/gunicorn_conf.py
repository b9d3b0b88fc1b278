"""gunicorn's settings for the app under test; without a file it would take those of the BFF."""

worker_class = "gthread"
workers = 1
threads = 8
graceful_timeout = 1
control_socket_disable = True
