"""Files that senders put into an object store: each is brought into the landing folder once.

An object appears whole, so there is nothing to settle. It is never deleted here, as a sender's next version under the
same name could be lost. Let the store expire what is old.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from include.files import flush, move_to_free_name
from include.runs.landing import landing
from include.settings import Settings
from include.store import open_store


def fetch_new(settings: Settings) -> list[Path]:
    """Bring objects that are new since the last call into the landing folder.

    One that is cut off is brought again; its bytes are known then, so a run loads them once.

    Returns:
        The new files.

    Raises:
        obstore.exceptions.BaseError: If the store does not answer or refuses.
        OSError: The same, or if the landing folder cannot be written.
    """
    import obstore

    store = open_store(settings, settings.landing_uri)
    marks = settings.data_dir / "runs" / ".fetched"
    marks.mkdir(parents=True, exist_ok=True)
    brought = []
    for found in obstore.list(store).collect():
        place = PurePosixPath(found["path"])
        mark = marks / hashlib.sha256(f"{place}\n{found['e_tag']}\n{found['last_modified']}".encode()).hexdigest()
        if mark.exists() or not found["size"]:  # a folder, as some programs show it, is an object of no size
            continue
        partial = landing(settings) / f".{mark.name}"
        with partial.open("wb") as stream:
            for chunk in obstore.get(store, found["path"], options={"if_match": found["e_tag"]}).stream():
                stream.write(chunk)
        flush(partial)
        brought.append(move_to_free_name(partial, landing(settings) / place.name))
        flush(landing(settings))
        mark.touch()
    return brought
