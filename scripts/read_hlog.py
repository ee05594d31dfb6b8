"""Prints what HdrHistogram's own library finds in an interval log, as JSON:
{"start_s": …, "lines": [[TAG, BEGIN_S, END_S, COUNT, MEAN], …], "tags": {TAG: {"count": …, "max": …, "percentiles": {P: VALUE}, "csv_header": …,
"counts": [[VALUE, COUNT], …]}}}

The intervals of a tag are added up; times are seconds after the start; csv_header is that of the library's own percentile
distribution; counts tell of each recorded value how many are not above it.

usage: read_hlog.py FILE PERCENTILE...
"""

import io
import json
import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader


def bounds():
    return HdrHistogram(1, 600_000_000, 3)


def main(path, percentiles):
    reader = HistogramLogReader(path, bounds())
    lines, totals = [], {}
    while (interval := reader.get_next_interval_histogram()) is not None:
        start = reader.start_time_sec
        times = [interval.get_start_time_stamp() / 1000 - start, interval.get_end_time_stamp() / 1000 - start]
        lines.append([interval.get_tag(), *times, interval.get_total_count(), interval.get_mean_value()])
        totals.setdefault(interval.get_tag(), bounds()).add(interval)
    tags = {}
    for tag, total in totals.items():
        csv = io.BytesIO()
        total.output_percentile_distribution(csv, 1, use_csv=True)
        tags[tag] = {
            "count": total.get_total_count(),
            "max": total.get_max_value(),
            "percentiles": {text: total.get_value_at_percentile(float(text)) for text in percentiles},
            "csv_header": csv.getvalue().decode().splitlines()[0],
            "counts": [[value.value_iterated_to, value.total_count_to_this_value] for value in total.get_recorded_iterator()],
        }
    print(json.dumps({"start_s": reader.start_time_sec, "lines": lines, "tags": tags}))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} FILE PERCENTILE...")
    main(sys.argv[1], sys.argv[2:])
