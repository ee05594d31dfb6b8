"""Step of an embedding table: 20 fields of 4,096 rows looked up in one table of width 16 (one part of it per field), the gradient of
the result given, and SparseAdam on the touched rows.

usage: embedding.py ROWS_OF_TABLE IDS

IDS: the ids of several batches as 32-bit numbers, row after row, which both sides read (the driver draws them).
"""

import sys

import numpy
import torch

import protocol

ROWS, FIELDS, WIDTH = 4096, 20, 16


def main(vocabulary, path):
    protocol.best_practice()
    ids = torch.from_numpy(numpy.fromfile(path, dtype="<u4").astype("i8")).view(-1, ROWS, FIELDS)
    ids += torch.arange(FIELDS) * (vocabulary // FIELDS)
    table = torch.nn.Embedding(vocabulary, WIDTH, sparse=True)
    optimizer = torch.optim.SparseAdam(table.parameters(), lr=1e-3)
    upstream = torch.randn(ROWS, FIELDS, WIDTH) * 1e-3
    turn = 0

    def step():
        nonlocal turn
        embedded = table(ids[turn % len(ids)])
        turn += 1
        optimizer.zero_grad(set_to_none=True)
        embedded.backward(upstream)
        optimizer.step()

    # Twice through all batches: the moments of rows that were never touched have no memory yet.
    for _ in range(2 * len(ids)):
        step()
    protocol.serve({"embedding": protocol.repeated(step)}, {"variant": "SparseAdam", "rows_of_table": vocabulary})


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
