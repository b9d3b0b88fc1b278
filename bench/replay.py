"""nginx in front of the stubs, which keeps their answers and sends them again.

The stubs are Python and share the machine with what is measured. An answer of theirs costs as
much processor time as the page that is made of it, and half of what a page is charged is then
the way back to a processor whose caches another process has filled. Upstreams of a real
deployment run elsewhere. So the answers are recorded before the load, and replayed under it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from scripts.processes import Server, until
from tests.e2e.stack import Stack, free_ports

CONFIGURATION = """\
{user}
worker_processes 1;
daemon off;
pid {directory}/pid;
error_log {directory}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    log_format replayed "1";  # with its line end two bytes, see Replay.replayed
    map $upstream_cache_status $replayed {{ HIT 1; default 0; }}
    access_log {directory}/replayed replayed if=$replayed;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    proxy_cache_path {directory}/answers levels=1:2 keys_zone=answers:64m inactive=1h
                     max_size=2g use_temp_path=off;
    keepalive_requests 100000000;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
{servers}
}}
"""
SERVER = """\
    upstream {name} {{ server 127.0.0.1:{behind}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://{name};
            proxy_cache answers;
            proxy_cache_key "{name} $request_uri $http_x_user_id";
            proxy_cache_valid 200 1h;
            proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;
        }}
        location = /events {{
            proxy_pass http://{name};
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
"""


class Replay:
    """Answers as the stubs of `stack`, and asks them only what nobody has asked before.

    `settings` are those that lead a service here. Changes that are made at the user service are
    not seen through it, apart from its stream.
    """

    def __init__(self, directory: Path, stack: Stack) -> None:
        directory.mkdir()
        ports = dict(zip(("users", "tmdb"), free_ports(2), strict=True))
        self.settings = {
            "USER_SERVICE_URL": f"http://127.0.0.1:{ports['users']}",
            "TMDB_BASE_URL": f"http://127.0.0.1:{ports['tmdb']}/3",
        }
        servers = (
            SERVER.format(name=name, behind=stack.servers[name].port, port=port)
            for name, port in ports.items()
        )
        self._log = directory / "replayed"
        configuration = directory / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(
                user="user root;" if os.geteuid() == 0 else "",
                directory=directory,
                servers="".join(servers),
            )
        )
        self._server = Server("nginx", "", "", ports["users"], directory / "log")
        self._server.command = [need_nginx(), "-p", str(directory), "-c", str(configuration)]

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._server.start()
        if not until(self._server.answers, 10):
            self._server.end(2)
            raise SystemExit(f"nginx did not start:\n{self._server.tail(30)}")

    def replayed(self) -> int:
        """Return how many calls were answered without a stub."""
        return self._log.stat().st_size // 2

    def end(self) -> None:
        """End it."""
        self._server.end(5)


def need_nginx() -> str:
    """Return where nginx is, or end with how to get it."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise SystemExit("nginx is not installed. Debian, Ubuntu: apt-get install nginx")
    return program
