"""Checks a wheel's SHA-256 and unpacks some of its members, by their base names, into a new folder.

usage: unpack_wheel.py WHEEL SHA256 FOLDER MEMBER...

FOLDER/wheel.sha256 is written last and tells from which wheel the folder was made. Needs only Python's own library.
"""

import hashlib
import shutil
import sys
import zipfile
from pathlib import Path


def main(wheel, expected, folder, *members):
    with open(wheel, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        sys.exit(f"{Path(wheel).name} has the wrong hash:\n  expected {expected}\n  found    {found}")
    folder = Path(folder)
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for member in members:
            with archive.open(member) as source, open(folder / Path(member).name, "wb") as target:
                shutil.copyfileobj(source, target)
    (folder / "wheel.sha256").write_text(found + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
