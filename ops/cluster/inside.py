"""Namespaces for a whole run, which end with it: nothing of it is left behind."""

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSIDE = "FFAPI_CLUSTER_INSIDE"
SCRIPT = """
mount --make-rprivate / && mount -t proc proc /proc && mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && exec "$@"
"""


def fresh(folder):
    """An empty folder, which other users may enter. One that has files of others is refused: it is not emptied."""
    marker = folder / ".ffapi-cluster"
    if folder.is_symlink() or (folder.exists() and not marker.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        sys.exit(f"{folder} is there and is not from here; name another folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    marker.touch()


def main_inside(main):
    """Runs this program again in namespaces of processes, network and mounts, and there `main`; returns its status."""
    if INSIDE not in os.environ:
        if os.geteuid() != 0:
            sys.exit("run this as root: it needs namespaces, mounts and users")
        os.environ[INSIDE] = "1"
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT, "sh"]
        os.execvp("unshare", [*command, sys.executable, *sys.argv])
    try:
        status = main()
    except BaseException as error:
        print(f"{Path(sys.argv[0]).name}: {error!r}")
        status = 1
    # Threads and processes of the cluster would keep this program from ending; the namespace ends them.
    sys.stdout.flush()
    os._exit(status)
