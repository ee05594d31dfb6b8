"""Reading and encoding a Parquet file with polars, as `fixtures/kuairand.schema.toml` says: the features of schema and split are in
the plan that this program writes, and its ids must be the same.

Vocabularies hold the values seen `min_count` times on training rows, most frequent first, equal ones by their text; 0 is missing, 1 unknown.
Buckets count from 1 by quantiles of the training rows. The ids stay in columns: making rows of them is left out.
"""

import json
import sys
from pathlib import Path

import numpy
import polars as pl

import protocol

UNKNOWN, FIRST_KNOWN = 1, 2


def encode(plan):
    frame = pl.read_parquet(plan["data"], columns=plan["columns"])
    train = frame.get_column(plan["split"]["column"]) <= plan["split"]["train_until"]
    lazy = frame.lazy()
    training = frame.filter(train).lazy()
    wanted = []
    for feature in plan["features"]:
        column = pl.col(feature["column"])
        if feature["encoding"] == "vocabulary":
            counted = training.select(value=column).drop_nulls().group_by("value").len()
            kept = counted.filter(pl.col("len") >= feature["min_count"])
            order = kept.sort(pl.col("len"), pl.col("value").cast(pl.String), descending=[True, False])
            wanted.append(order.select("value"))
        else:
            wanted.append(training.select(value=column.cast(pl.Float32)).drop_nulls().sort("value"))
    learned = pl.collect_all(wanted)
    encoders = []
    for feature, found in zip(plan["features"], learned):
        values, column = found.get_column("value"), pl.col(feature["column"])
        if feature["encoding"] == "vocabulary":
            ids = pl.Series(range(FIRST_KNOWN, FIRST_KNOWN + len(values)), dtype=pl.UInt32)
            known = column.replace_strict(values, ids, default=UNKNOWN, return_dtype=pl.UInt32) if len(values) else pl.lit(UNKNOWN, pl.UInt32)
            encoders.append(pl.when(column.is_null()).then(0).otherwise(known).cast(pl.UInt32).alias(feature["name"]))
        else:
            edges = edges_of(values.to_numpy(), feature["buckets"])
            places = column.cast(pl.Float32).map_batches(
                lambda values, edges=edges: pl.Series(bucketed(values, edges)), return_dtype=pl.UInt32
            )
            encoders.append(places.alias(feature["name"]))
    labels = pl.col(plan["label"]).cast(pl.Float32).alias("label of the rows")
    return lazy.select(*encoders, labels).collect()


def edges_of(values, buckets):
    """Inner edges of nearest-rank quantile buckets of sorted values; nothing lies above the largest."""
    if not len(values):
        return values
    places = -(-numpy.arange(1, buckets) * len(values) // buckets) - 1
    edges = numpy.unique(values[places])
    return edges[edges < values[-1]]


def bucketed(values, edges):
    numbers = values.to_numpy()
    ids = numpy.searchsorted(edges, numbers, side="left").astype("u4") + numpy.uint32(1)
    return numpy.where(numpy.isnan(numbers), numpy.uint32(0), ids)


def main():
    plan = json.loads(Path(sys.argv[1]).read_text())
    frame = encode(plan)
    expected = numpy.fromfile(plan["ids"], dtype="<u4").reshape(frame.height, -1)
    found = frame.drop("label of the rows").to_numpy()
    differing = int((found != expected).sum())
    protocol.serve(
        {"encode": protocol.repeated(lambda: encode(plan))},
        {"polars": pl.__version__, "pool": pl.thread_pool_size(), "differing_ids": differing, "ids": int(expected.size)},
    )


if __name__ == "__main__":
    main()
