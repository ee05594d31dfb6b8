"""Prints the curves in a folder of event files as TensorBoard's own reader finds them: {"TAG": [[STEP, VALUE], ...]}, as JSON.

usage: read_events.py FOLDER
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main(folder):
    # 0: every point, no sampling. A wrong checksum ends the file for this reader, so points would be missing.
    events = EventAccumulator(folder, size_guidance={"tensors": 0, "scalars": 0}).Reload()
    curves = {tag: [[point.step, point.value] for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    print(json.dumps({"version": events.file_version, "curves": curves}))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    main(sys.argv[1])
