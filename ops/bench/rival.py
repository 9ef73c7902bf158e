"""The no-op task of Celery: acknowledged late and with a stored result, as for a durable queue."""

from celery import Celery

app = Celery("rival", broker="redis://127.0.0.1:6399/0", backend="redis://127.0.0.1:6399/1")
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=4)


@app.task
def nothing():
    return None
