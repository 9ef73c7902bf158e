"""Differences that were looked at and judged acceptable: explained.json.

A key is a file's SHA-256, or the name of a file of the generated matrix; the value is the reason. It counts for a
result that `differs`. For another class it begins with the name of the class: "refused at upload: ...". So an
explanation of a difference does not hide a failure that comes later.
"""

import json
from pathlib import Path

FILE = Path(__file__).with_name("explained.json")
# In a folder that `generate` made.
MARKER = ".generated"
OTHER_CLASSES = ("ffapi failed", "refused at upload")


class Explained:
    def __init__(self, file=FILE):
        self.reasons = json.loads(file.read_text("utf-8"))

    def reason(self, path, result):
        """Why the result is acceptable; empty if nobody has said so."""
        reason = self.reasons.get(result.sha256, "")
        if not reason and (path.parent / MARKER).exists():
            reason = self.reasons.get(path.name, "")
        about = next((name for name in OTHER_CLASSES if reason.startswith(name)), "differs")
        return reason if about == result.class_of else ""
