"""nginx, as a page configures it."""

import contextlib
import os
import subprocess
from collections.abc import Iterator

from blocks import Block
from service import Service

CONFIGURATION = """pid {folder}/nginx.pid;
error_log stderr;
daemon off;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {text}
}}
"""


@contextlib.contextmanager
def serving(service: Service, block: Block) -> Iterator[str | None]:
    """Runs nginx with a block while the shell blocks of its page run; what it says against the block."""
    folder = service.temporary / "nginx"
    folder.mkdir()
    text = service.adapt(block.text, block.page).replace("ffapi:8080", service.address).replace("/var/cache/nginx", str(folder))
    config = folder / "nginx.conf"
    # Its workers would not reach the folder as another user.
    config.write_text(CONFIGURATION.format(folder=folder, text=text, user="user root;" if os.geteuid() == 0 else ""))
    command = [str(service.root / ".tools/bin/nginx"), "-p", str(folder), "-c", str(config)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        yield checked.stderr
        return
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        service.until_answered(service.receiver, process)
        yield None
    finally:
        process.terminate()
        process.wait()
